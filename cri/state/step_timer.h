#ifndef CRISP_CRI_STATE_STEP_TIMER_H_
#define CRISP_CRI_STATE_STEP_TIMER_H_

#include <deque>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/json.h"
#include "metrics/registry.h"

namespace crisp::cri {

// The times of the steps of the operations on one pod or container: the last 64. Thread-safe. In
// memory only, so a restarted daemon knows none.
class StepLog {
 public:
  struct Entry {
    const char* operation;  // an RPC's name, or that of the background work after it
    const char* step;
    absl::Time begin;
    absl::Duration took;
  };
  void Add(const Entry& entry);
  // [{"operation", "step", "at", "microseconds"}], oldest first.
  Json ToJson() const;

 private:
  mutable absl::Mutex mutex_;
  std::deque<Entry> entries_ ABSL_GUARDED_BY(mutex_);
};

// Times the steps of one operation, for the log and for crisp_step_seconds. The names are literals.
// Not thread-safe; `log` and `metrics` (may be null) outlive it.
class StepTimer {
 public:
  StepTimer(const char* operation, StepLog& log, metrics::Registry* metrics);
  // Ends a step: it was done since the last call, or since the timer was made.
  void Done(const char* step);

 private:
  const char* const operation_;
  StepLog& log_;
  metrics::Registry* const metrics_;
  absl::Time begin_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_STATE_STEP_TIMER_H_
