#ifndef CRISP_BASE_JSON_H_
#define CRISP_BASE_JSON_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace crisp {

using Json = nlohmann::json;

struct JsonLimits {
  size_t max_bytes = 8u << 20;
  int max_depth = 64;
};

// Parses one document. InvalidArgument (with the byte offset) for malformed text or too deep a
// nesting, ResourceExhausted for too many bytes. Never throws.
absl::StatusOr<Json> ParseJson(absl::string_view text, const JsonLimits& limits = {});

// The document as text. Bytes that are not UTF-8 are replaced, so that this cannot fail.
std::string DumpJson(const Json& json, int indent = -1);

// Typed members of an object. An absent or null member gives `fallback`; a member of another type
// (or an integer out of range) is InvalidArgument naming the key.
absl::StatusOr<std::string> JsonString(const Json& object,
                                       const char* key,
                                       std::string fallback = "");
absl::StatusOr<int64_t> JsonInt(const Json& object, const char* key, int64_t fallback = 0);
absl::StatusOr<bool> JsonBool(const Json& object, const char* key, bool fallback = false);
// The member if it is an object (array); a static empty one when absent or null.
absl::StatusOr<const Json*> JsonObject(const Json& object, const char* key);
absl::StatusOr<const Json*> JsonArray(const Json& object, const char* key);

}  // namespace crisp

#endif  // CRISP_BASE_JSON_H_
