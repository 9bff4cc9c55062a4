#ifndef CRISP_CLI_CLIENT_VERBOSE_H_
#define CRISP_CLI_CLIENT_VERBOSE_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "base/json.h"

namespace crisp::cli {

// The largest document that the daemon sends.
inline constexpr size_t kMaxDocument = 80 << 20;

// The daemon's document in a reply to a verbose status request: of a container, a pod or an image.
// An empty object if there is none. InvalidArgument and ResourceExhausted are ParseJson()'s.
template <typename Reply>
absl::StatusOr<Json> VerboseInfo(const Reply& reply) {
  const auto info = reply.info().find("info");
  if (info == reply.info().end() || info->second.empty()) return Json::object();
  return ParseJson(info->second, {.max_bytes = kMaxDocument});
}

}  // namespace crisp::cli

#endif  // CRISP_CLI_CLIENT_VERBOSE_H_
