#ifndef CRISP_BASE_TESTING_MANUAL_CLOCK_H_
#define CRISP_BASE_TESTING_MANUAL_CLOCK_H_

#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/testing/eventually.h"

namespace crisp {

// A clock that stands still until a test moves it. Thread-safe.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(absl::Time now = absl::FromUnixSeconds(1'700'000'000)) : now_(now) {}

  absl::Time Now() override {
    absl::MutexLock lock(&mutex_);
    return now_;
  }
  bool AwaitUntil(absl::Mutex& mutex,
                  const absl::Condition& condition,
                  absl::Time deadline) override ABSL_SHARED_LOCKS_REQUIRED(mutex) {
    const Wait wait(this, deadline);
    while (!mutex.AwaitWithTimeout(condition, kLook)) {
      if (Now() >= deadline) return condition.Eval();
    }
    return true;
  }

  void Advance(absl::Duration by) {
    absl::MutexLock lock(&mutex_);
    now_ += by;
  }

  // How far it is to the first time that somebody waits for, once somebody does. Infinite if nobody
  // comes to wait.
  absl::Duration UntilNext() {
    const auto next = [this] {
      absl::MutexLock lock(&mutex_);
      return waits_.empty() ? absl::InfiniteFuture() : *waits_.begin();
    };
    (void)Eventually([&] { return next() != absl::InfiniteFuture(); });
    return next() - Now();
  }

 private:
  // Nothing wakes who waits when the time is set: they look.
  static constexpr absl::Duration kLook = absl::Milliseconds(1);

  struct Wait {
    Wait(ManualClock* of, absl::Time deadline) : clock(of), until(deadline) {
      absl::MutexLock lock(&clock->mutex_);
      clock->waits_.insert(until);
    }
    ~Wait() {
      absl::MutexLock lock(&clock->mutex_);
      clock->waits_.erase(clock->waits_.find(until));
    }
    ManualClock* const clock;
    const absl::Time until;
  };

  absl::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
  std::multiset<absl::Time> waits_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp

#endif  // CRISP_BASE_TESTING_MANUAL_CLOCK_H_
