#ifndef CRISP_BASE_CLOCK_H_
#define CRISP_BASE_CLOCK_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace crisp {

// The time of day, and waiting for it. What waits for seconds to pass takes one, so that its tests
// need not wait: they set the time by hand (base/testing/manual_clock.h). Thread-safe.
class Clock {
 public:
  // The machine's.
  static Clock& Real();

  virtual absl::Time Now() = 0;
  // Waits, as Mutex::AwaitWithDeadline() does, until `condition` is true or Now() is past the
  // deadline; whether it is true. The caller holds the mutex, before and after.
  virtual bool AwaitUntil(absl::Mutex& mutex, const absl::Condition& condition, absl::Time deadline)
      ABSL_SHARED_LOCKS_REQUIRED(mutex) = 0;

 protected:
  Clock() = default;
  ~Clock() = default;
};

inline Clock& Clock::Real() {
  class RealClock final : public Clock {
   public:
    absl::Time Now() override { return absl::Now(); }
    bool AwaitUntil(absl::Mutex& mutex,
                    const absl::Condition& condition,
                    absl::Time deadline) override ABSL_SHARED_LOCKS_REQUIRED(mutex) {
      return mutex.AwaitWithDeadline(condition, deadline);
    }
  };
  static RealClock clock;
  return clock;
}

}  // namespace crisp

#endif  // CRISP_BASE_CLOCK_H_
