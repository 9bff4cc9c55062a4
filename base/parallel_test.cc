#include "base/parallel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "base/testing/test_threads.h"

namespace crisp {
namespace {

TEST(ParallelFor, CallsForEachOnce) {
  std::vector<std::atomic<int>> calls(100);
  ParallelFor("test", calls.size(), 7, [&](size_t i) { ++calls[i]; });
  for (const std::atomic<int>& count : calls) EXPECT_EQ(count, 1);
  ParallelFor("test", 0, 7, [](size_t) { ADD_FAILURE(); });
}

TEST(ParallelFor, HasAsManyAtOnceAsItMayAndNoMore) {
  absl::Mutex mutex;
  int at_once = 0, most = 0;
  ParallelFor("test", 9, 3, [&](size_t) {
    absl::MutexLock lock(&mutex);
    most = std::max(most, ++at_once);
    // Where it had fewer than three, this would wait for ever.
    const auto met = [&] { return most == 3; };
    mutex.Await(absl::Condition(&met));
    --at_once;
  });
  EXPECT_EQ(most, 3);
}

TEST(ParallelFor, DoesItAloneWhereThereAreNoThreads) {
  std::set<std::thread::id> threads;
  ASSERT_TRUE(WithoutNewThreads([&] {
    ParallelFor("test", 5, 4, [&](size_t) { threads.insert(std::this_thread::get_id()); });
  }));
  EXPECT_EQ(threads.size(), 1u);
}

}  // namespace
}  // namespace crisp
