#ifndef CRISP_BASE_TESTING_TEST_TIME_H_
#define CRISP_BASE_TESTING_TEST_TIME_H_

#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/time/time.h"

namespace crisp {

// For tests: the time that something may take here if it takes `here` at most on a machine like
// ours. The environment's CRISP_TEST_TIME_FACTOR, a whole number, says how much slower this one is
// (hack/vm.sh sets it); 1 if it is absent or malformed.
inline absl::Duration Patience(absl::Duration here) {
  const char* factor = std::getenv("CRISP_TEST_TIME_FACTOR");
  int times = 1;
  if (factor == nullptr || !absl::SimpleAtoi(factor, &times)) return here;
  return here * times;
}

}  // namespace crisp

#endif  // CRISP_BASE_TESTING_TEST_TIME_H_
