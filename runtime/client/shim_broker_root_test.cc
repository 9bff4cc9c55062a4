#include <signal.h>

#include <atomic>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "runtime/client/shim_broker.h"
#include "runtime/client/spare_shims.h"

namespace crisp::runtime {
namespace {

TEST(ShimBrokerTest, OneThatHangsIsReplacedAndNobodyWaitsForAnother) {
  const TempDir dir;
  ShimBroker broker(dir.path(), 0, absl::Milliseconds(500));
  ASSERT_OK(broker.Load(CRISP_SHIM_BINARY));
  const pid_t first = broker.pid();
  ASSERT_EQ(kill(first, SIGSTOP), 0);
  // Messages that its socket holds are taken for sent. Later callers wait no longer than the
  // patience.
  std::atomic<int> failed = 0;
  std::vector<std::thread> threads;
  const absl::Time begin = absl::Now();
  for (int i = 0; i < 32; ++i) {
    threads.emplace_back([&] {
      absl::StatusOr<SocketPair> pair = MakeShimSockets();
      const std::string plan(60000, 'x');
      const bool sent =
          pair.ok() &&
          broker.StartSpare(plan, pair->theirs.get(), Operation(absl::Now() + absl::Minutes(5)))
              .ok();
      if (!sent) ++failed;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(20));
  EXPECT_EQ(failed, 0);
  EXPECT_NE(broker.pid(), first);
}

TEST(ShimBrokerTest, ItsEndDoesNotWaitForOneThatHangs) {
  const TempDir dir;
  const absl::Time begin = absl::Now();
  {
    ShimBroker broker(dir.path(), 0);
    ASSERT_OK(broker.Load(CRISP_SHIM_BINARY));
    ASSERT_EQ(kill(broker.pid(), SIGSTOP), 0);
  }
  EXPECT_LT(absl::Now() - begin, absl::Seconds(10));
}

}  // namespace
}  // namespace crisp::runtime
