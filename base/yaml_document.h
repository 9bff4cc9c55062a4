#ifndef CRISP_BASE_YAML_DOCUMENT_H_
#define CRISP_BASE_YAML_DOCUMENT_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json.h"

namespace crisp {

struct YamlLimits {
  size_t max_bytes = 8u << 20;
  size_t max_nodes = 1u << 20;  // counted where aliases stand, so that they cannot multiply
  int max_depth = 32;
};

// Parses one YAML (or JSON, which is YAML) document into Json. Every scalar becomes a string,
// whatever it looks like, because its reader knows what it is to be (YamlInt). null and an empty
// document become null. InvalidArgument "line N: …" for malformed text, for keys that are not
// scalars or are given twice, and for more than one document. ResourceExhausted beyond a limit.
// Never throws.
absl::StatusOr<Json> ParseYaml(absl::string_view text, const YamlLimits& limits = {});

// The integer in such a string, by YAML's rules: decimal, 0x…, 0o… and 0… (octal). InvalidArgument,
// naming `what`, for anything else or outside [min, max].
absl::StatusOr<int64_t> YamlInt(const Json& value,
                                absl::string_view what,
                                int64_t min,
                                int64_t max);
// The string. InvalidArgument, naming `what`, if the value is not a string or holds a NUL.
absl::StatusOr<std::string> YamlString(const Json& value, absl::string_view what);
// The strings of a list; null is an empty one. InvalidArgument, naming `what`, if `value` is not a
// list of strings.
absl::StatusOr<std::vector<std::string>> YamlStrings(const Json& value, absl::string_view what);

}  // namespace crisp

#endif  // CRISP_BASE_YAML_DOCUMENT_H_
