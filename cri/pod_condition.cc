// Whether new pods can be had from what is not crispd's own.
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "cri/pod_manager.h"
#include "runtime/cgroup_systemd.h"

namespace crisp::cri {
namespace {

constexpr absl::Duration kAskPeriod = absl::Seconds(15);
// One that fails may be the bus' or systemd's restart: it is asked once more before anybody hears of it.
constexpr absl::Duration kAskAgain = absl::Seconds(2);
constexpr absl::Duration kAnswerTime = absl::Seconds(5);

}  // namespace

absl::Status PodManager::Ready() const {
  absl::MutexLock lock(&systemd_mutex_);
  return systemd_answer_;
}

// Asked ahead, for Status must not wait for anybody.
void PodManager::WatchSystemd(bool failed_before) {
  const absl::Status answer = runtime::AskSystemd(Cancel(absl::Now() + kAnswerTime));
  bool news = false;
  if (answer.ok() || failed_before) {
    absl::MutexLock lock(&systemd_mutex_);
    news = answer.ok() != systemd_answer_.ok();
    systemd_answer_ =
        answer.ok() ? answer
                    : absl::Status(answer.code(), absl::StrCat(answer.message(),
                                                               "; with runtime.cgroup_driver: systemd no pod can "
                                                               "be made without it"));
  }
  if (news && answer.ok()) LogInfo("systemd answers again");
  if (news && !answer.ok()) LogError("systemd does not answer", {{"error", answer.message()}});
  cleanup_.PostAt(absl::Now() + (answer.ok() ? kAskPeriod : kAskAgain),
                  [this, failed = !answer.ok()] { WatchSystemd(failed); });
}

}  // namespace crisp::cri
