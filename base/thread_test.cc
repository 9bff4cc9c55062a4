#include "base/thread.h"

#include <pthread.h>

#include <atomic>
#include <memory>
#include <string>

#include "absl/synchronization/notification.h"
#include "base/testing/status_matchers.h"
#include "base/testing/test_threads.h"

namespace crisp {
namespace {

TEST(ThreadTest, RunsItsBodyUnderItsName) {
  std::string seen;
  ASSERT_OK_AND_ASSIGN(Thread thread, Thread::Start("a-name-that-is-too-long", [&] {
                         char name[16];
                         if (::pthread_getname_np(::pthread_self(), name, sizeof(name)) == 0)
                           seen = name;
                       }));
  EXPECT_TRUE(thread.joinable());
  thread.Join();
  EXPECT_FALSE(thread.joinable());
  EXPECT_EQ(seen, "a-name-that-is-");
}

TEST(ThreadTest, DestroyingAndReplacingWaitForTheBody) {
  std::atomic<int> done = 0;
  {
    ASSERT_OK_AND_ASSIGN(Thread thread, Thread::Start("first", [&] { ++done; }));
    ASSERT_OK_AND_ASSIGN(thread, Thread::Start("second", [&] { ++done; }));
  }
  EXPECT_EQ(done, 2);
}

TEST(ThreadTest, ADetachedOneRuns) {
  absl::Notification ran;
  ASSERT_OK(Thread::StartDetached("detached", [&] { ran.Notify(); }));
  EXPECT_TRUE(ran.WaitForNotificationWithTimeout(absl::Seconds(10)));
}

TEST(ThreadTest, NoThreadToBeHadIsAnErrorThatFreesWhatTheBodyHolds) {
  auto held = std::make_shared<int>(1);
  ASSERT_TRUE(WithoutNewThreads([&] {
    EXPECT_THAT(Thread::Start("one", [held] { ADD_FAILURE(); }),
                StatusIs(absl::StatusCode::kResourceExhausted));
    EXPECT_THAT(Thread::StartDetached("two", [held] { ADD_FAILURE(); }),
                StatusIs(absl::StatusCode::kResourceExhausted));
  }));
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace crisp
