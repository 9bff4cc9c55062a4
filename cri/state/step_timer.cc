#include "cri/state/step_timer.h"

#include <algorithm>

#include "absl/time/clock.h"

namespace crisp::cri {
namespace {

constexpr size_t kKept = 64;

}  // namespace

void StepLog::Add(const Entry& entry) {
  absl::MutexLock lock(&mutex_);
  if (entries_.size() == kKept) entries_.pop_front();
  entries_.push_back(entry);
}

Json StepLog::ToJson() const {
  Json list = Json::array();
  absl::MutexLock lock(&mutex_);
  for (const Entry& entry : entries_) {
    list.push_back({{"operation", entry.operation},
                    {"step", entry.step},
                    {"at", absl::FormatTime(absl::RFC3339_full, entry.begin, absl::UTCTimeZone())},
                    {"microseconds", absl::ToInt64Microseconds(entry.took)}});
  }
  return list;
}

StepTimer::StepTimer(const char* operation, StepLog& log, metrics::Registry* metrics)
    : operation_(operation), log_(log), metrics_(metrics), begin_(absl::Now()) {}

void StepTimer::Done(const char* step) {
  const absl::Time now = absl::Now();
  // The clock may have been set back.
  const absl::Duration took = std::max(now - begin_, absl::ZeroDuration());
  log_.Add({.operation = operation_, .step = step, .begin = begin_, .took = took});
  if (metrics_ != nullptr) {
    metrics_->Observe(metrics::kStepSeconds, absl::ToDoubleSeconds(took), {operation_, step});
  }
  begin_ = now;
}

}  // namespace crisp::cri
