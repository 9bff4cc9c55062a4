#include "storage/registry/registry_throttle.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "base/status.h"

namespace crisp::storage {
namespace {

constexpr absl::Duration kMaxThrottleWait = absl::Minutes(5);
constexpr absl::Duration kDefaultThrottleWait = absl::Seconds(1);

}  // namespace

std::optional<absl::Duration> ThrottleWait(const HttpReply& reply, bool hiccups, int tries) {
  if (reply.end != HttpEnd::kComplete) return std::nullopt;
  const bool told = !reply.Header("retry-after").empty();
  const bool throttled =
      reply.status == 429 || ((reply.status == 503 || reply.status == 408) && told);
  if (!throttled && !(hiccups && (reply.status == 408 || reply.status >= 500))) return std::nullopt;
  const absl::Duration wait =
      RetryAfter(reply.Header("retry-after"), absl::Now(), kDefaultThrottleWait * tries);
  if (wait > kMaxThrottleWait) return std::nullopt;
  return wait;
}

absl::Status SleepUnlessCancelled(absl::Duration duration, const Operation& operation) {
  CRISP_RETURN_IF_ERROR(operation.Check("wait for the registry"));
  return operation.Sleep(duration) ? absl::OkStatus() : operation.Error("wait for the registry");
}

absl::Duration RetryAfter(absl::string_view value, absl::Time now, absl::Duration fallback) {
  int64_t seconds = 0;
  if (absl::SimpleAtoi(value, &seconds)) {
    return absl::Seconds(std::clamp<int64_t>(seconds, 0, 1000000));
  }
  const time_t date = value.empty() ? -1 : curl_getdate(std::string(value).c_str(), nullptr);
  if (date < 0) return fallback;
  return std::max(absl::ZeroDuration(), absl::FromTimeT(date) - now);
}

}  // namespace crisp::storage
