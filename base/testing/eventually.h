#ifndef CRISP_BASE_TESTING_EVENTUALLY_H_
#define CRISP_BASE_TESTING_EVENTUALLY_H_

#include <algorithm>

#include "absl/functional/function_ref.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/testing/test_time.h"

namespace crisp {

// How tests wait: for what they want to see, not for a time. The end is far away, so that a machine
// under load changes nothing but how long it takes; who fails has to say what was not there.

// Asks until the condition is true; whether it is. Nothing else in a test sleeps.
inline bool Eventually(absl::FunctionRef<bool()> condition,
                       absl::Duration most = absl::Minutes(1)) {
  const absl::Time end = absl::Now() + Patience(most);
  absl::Duration pause = absl::Microseconds(200);
  while (!condition()) {
    if (absl::Now() > end) return false;
    absl::SleepFor(pause);
    pause = std::min(pause * 2, absl::Milliseconds(20));
  }
  return true;
}

// Whether the condition holds all the time. Only for what there is nothing to wait for: something
// that must not happen, and leaves no trace when it did not. A slow machine can only make it see
// less than it might.
inline bool Stays(absl::FunctionRef<bool()> condition,
                  absl::Duration time = absl::Milliseconds(300)) {
  const absl::Time end = absl::Now() + time;
  while (condition()) {
    if (absl::Now() > end) return true;
    absl::SleepFor(absl::Milliseconds(2));
  }
  return false;
}

}  // namespace crisp

#endif  // CRISP_BASE_TESTING_EVENTUALLY_H_
