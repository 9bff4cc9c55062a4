#ifndef CRISP_STORAGE_REGISTRY_REGISTRY_THROTTLE_H_
#define CRISP_STORAGE_REGISTRY_REGISTRY_THROTTLE_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/operation.h"
#include "storage/registry/http_client.h"

namespace crisp::storage {

// Waits that a registry or its token server asks for.

// Sleeps for `duration` or until `operation` ends, and returns its error then.
absl::Status SleepUnlessCancelled(absl::Duration duration, const Operation& operation);

// The time to wait before the next try, when a server says that it is throttled or has a hiccup
// (429, 503, 408, and with `hiccups` other 5xx). nullopt if it asks for more than a pull should
// wait, or the reply is of another kind. `tries` were made.
std::optional<absl::Duration> ThrottleWait(const HttpReply& reply, bool hiccups, int tries);

// A Retry-After value (seconds or a date); `fallback` if there is none or it cannot be read.
absl::Duration RetryAfter(absl::string_view value, absl::Time now, absl::Duration fallback);

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_REGISTRY_REGISTRY_THROTTLE_H_
