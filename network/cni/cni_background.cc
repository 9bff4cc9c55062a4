// The work of CniNetwork's own thread: DELs that are due, STATUS, GC.

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "network/cni/cni_network.h"

namespace crisp::network {
namespace {
constexpr absl::Duration kStatusPeriod = absl::Seconds(5);
constexpr absl::Duration kPluginTime = absl::Seconds(90);
}  // namespace

void CniNetwork::Background() {
  while (!stop_.cancelled()) {
    RetryDue();
    CollectGarbage();
    RefreshStatus();
    absl::MutexLock lock(&mutex_);
    absl::Time next = absl::Now() + kStatusPeriod;
    for (const auto& [pod_id, entry] : entries_) next = std::min(next, entry.retry_at);
    mutex_.AwaitWithDeadline(absl::Condition(&wake_), next);
    wake_ = false;
  }
}

void CniNetwork::RetryDue() {
  std::vector<std::string> due;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [pod_id, entry] : entries_) {
      if (!entry.busy && entry.retry_at <= absl::Now()) due.push_back(pod_id);
    }
  }
  for (const std::string& pod_id : due) {
    if (stop_.cancelled() || removing_.cancelled()) return;
    ExclusivePod exclusive(this, pod_id);
    const CniAttachment* known = exclusive.known();
    if (known == nullptr || known->state != CniAttachment::State::kDeleting) continue;
    const absl::Status status = Delete(*known, -1, removing_.operation());
    if (status.ok() || stop_.cancelled() || removing_.cancelled()) continue;
    LogWarning("cni_del_retry_failed",
               {{"pod", known->DisplayName()}, {"id", pod_id}, {"error", status.message()}});
  }
}

void CniNetwork::RefreshStatus() {
  const auto config = Config();
  if (!config.ok() || !(*config)->HasStatusAndGc()) return;
  {
    absl::MutexLock lock(&mutex_);
    const bool same = status_.config_text == (*config)->text;
    if (same && absl::Now() - status_.asked_at < kStatusPeriod) return;
  }
  const Operation operation = stop_.operation().Until(absl::Now() + kPluginTime);
  absl::Status status = runner_.CheckStatus(**config, operation);
  absl::MutexLock lock(&mutex_);
  status_ = {.config_text = (*config)->text, .asked_at = absl::Now(), .status = std::move(status)};
}

void CniNetwork::CollectGarbage() {
  std::vector<std::string> valid;
  {
    absl::MutexLock lock(&mutex_);
    if (!collect_garbage_) return;
    collect_garbage_ = false;
    // Pods whose DEL is still due count as valid: their DEL, not GC, is what ends them.
    for (const auto& [pod_id, entry] : entries_) valid.push_back(pod_id);
  }
  const auto config = Config();
  if (!config.ok() || !(*config)->HasStatusAndGc() || (*config)->disable_gc) return;
  const Operation operation = stop_.operation().Until(absl::Now() + kPluginTime);
  if (const absl::Status s = runner_.CollectGarbage(**config, valid, operation); !s.ok()) {
    LogWarning("cni_gc_failed", {{"error", s.message()}});
  }
}

}  // namespace crisp::network
