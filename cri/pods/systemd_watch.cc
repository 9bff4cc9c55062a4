#include "cri/pods/systemd_watch.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/operation.h"
#include "runtime/cgroup/cgroup_systemd.h"

namespace crisp::cri {
namespace {

constexpr absl::Duration kAskPeriod = absl::Seconds(15);
// One that fails may be the bus' or systemd's restart: it is asked once more before anybody hears
// of it.
constexpr absl::Duration kAskAgain = absl::Seconds(2);
constexpr absl::Duration kAnswerTime = absl::Seconds(5);

}  // namespace

absl::Status SystemdWatch::answer() const {
  absl::MutexLock lock(&mutex_);
  return answer_;
}

void SystemdWatch::Ask(bool failed_before) {
  const absl::Status answer = runtime::AskSystemd(Operation(absl::Now() + kAnswerTime));
  bool news = false;
  if (answer.ok() || failed_before) {
    absl::MutexLock lock(&mutex_);
    news = answer.ok() != answer_.ok();
    answer_ = answer.ok()
                  ? answer
                  : absl::Status(answer.code(),
                                 absl::StrCat(answer.message(),
                                              "; with runtime.cgroup_driver: systemd no pod can "
                                              "be made without it"));
  }
  if (news && answer.ok()) LogInfo("systemd answers again");
  if (news && !answer.ok()) LogError("systemd does not answer", {{"error", answer.message()}});
  background_.PostAt(absl::Now() + (answer.ok() ? kAskPeriod : kAskAgain),
                     [this, failed = !answer.ok()] { Ask(failed); });
}

}  // namespace crisp::cri
