#ifndef CRISP_BASE_TESTING_CANCELLED_WAIT_H_
#define CRISP_BASE_TESTING_CANCELLED_WAIT_H_

#include <gtest/gtest.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "base/operation.h"

namespace crisp {

// How often the thread of this process has gone to sleep; "" when it is not there (any more).
inline std::string TimesAsleep(pid_t thread) {
  const std::string status =
      ReadFile(absl::StrCat("/proc/self/task/", thread, "/status")).value_or("");
  const size_t at = status.find("\nvoluntary_ctxt_switches:");
  return at == std::string::npos ? "" : status.substr(at + 1, status.find('\n', at + 1) - at - 1);
}

// Waits until nothing wakes the thread for 0.6 s on end. False when it has ended, or never stays
// asleep for so long: then it looks for something again and again.
inline bool SleepsUndisturbed(pid_t thread) {
  constexpr absl::Duration kWindow = absl::Milliseconds(600);
  const absl::Time end = absl::Now() + absl::Seconds(30);
  std::string before = TimesAsleep(thread);
  while (!before.empty() && absl::Now() < end) {
    absl::SleepFor(kWindow);
    std::string after = TimesAsleep(thread);
    if (after == before) return true;
    before = std::move(after);
  }
  return false;
}

// Runs wait(operation) in a thread of its own, and expects that it sleeps undisturbed. Then it
// cancels the operation, and returns what wait() returned. One that is not woken never ends.
template <typename Wait>
auto CancelledWhileAsleep(Wait wait) {
  CancelSource source;
  const Operation operation = source.operation();
  std::atomic<pid_t> id{0};
  std::optional<decltype(wait(operation))> result;
  std::thread thread([&] {
    id = gettid();
    result.emplace(wait(operation));
  });
  while (id == 0) std::this_thread::yield();
  EXPECT_TRUE(SleepsUndisturbed(id));
  source.Cancel();
  thread.join();
  return *std::move(result);
}

}  // namespace crisp

#endif  // CRISP_BASE_TESTING_CANCELLED_WAIT_H_
