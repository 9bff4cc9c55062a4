#include "base/operation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/testing/cancelled_wait.h"
#include "base/testing/status_matchers.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

// No test here waits for a time to pass: without its wake-up it would wait for ever.
TEST(OperationTest, NobodyEndsWhatHasNoEnd) {
  const Operation operation;
  EXPECT_FALSE(operation.cancellable());
  EXPECT_FALSE(operation.Ended());
  EXPECT_OK(operation.Check("work"));
  bool called = false;
  const auto registration = operation.OnCancel([&] { called = true; });
  EXPECT_FALSE(called);
}

TEST(OperationTest, EndsAtTheEarlierOfTwoDeadlines) {
  const absl::Time soon = absl::Now() + absl::Hours(1), later = soon + absl::Hours(1);
  EXPECT_EQ(Operation(soon).Until(later).deadline(), soon);
  EXPECT_EQ(Operation(later).Until(soon).deadline(), soon);
  const Operation past(absl::InfinitePast());
  EXPECT_TRUE(past.Ended());
  EXPECT_FALSE(past.cancelled());
  EXPECT_THAT(past.Check("work"),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("work: ")));
}

TEST(OperationTest, ACancellationReachesEveryCopy) {
  std::optional<CancelSource> source(std::in_place);
  const Operation operation = source->operation();
  const Operation bounded = operation.Until(absl::Now() + absl::Hours(1));
  EXPECT_TRUE(operation.cancellable());
  EXPECT_OK(bounded.Check("work"));
  source->Cancel();
  source->Cancel();
  source.reset();
  EXPECT_THAT(operation.Check("work"), StatusIs(absl::StatusCode::kCancelled, "work: cancelled"));
  EXPECT_THAT(bounded.Check("work"), StatusIs(absl::StatusCode::kCancelled));
}

TEST(OperationTest, WhatHasEndedHasAnError) {
  CancelSource source;
  // The clock may have been set back since the deadline came.
  EXPECT_THAT(Operation(absl::InfiniteFuture()).Error("work"),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  source.Cancel();
  EXPECT_THAT(source.operation().Error("work"), StatusIs(absl::StatusCode::kCancelled));
}

TEST(OperationTest, WhoCameTooLateIsToldAtOnce) {
  CancelSource source;
  source.Cancel();
  int called = 0;
  const auto registration = source.operation().OnCancel([&] { ++called; });
  EXPECT_EQ(called, 1);
}

TEST(OperationTest, WhoHasGoneIsNotTold) {
  CancelSource source;
  int called = 0;
  const auto stays = source.operation().OnCancel([&] { called += 1; });
  {
    const auto goes = source.operation().OnCancel([&] { called += 10; });
  }
  source.Cancel();
  EXPECT_EQ(called, 1);
}

TEST(OperationTest, ACallbackMayEndItsOwnRegistrationAndAnother) {
  CancelSource source;
  const Operation operation = source.operation();
  struct EndBoth;
  struct Both {
    std::unique_ptr<std::stop_callback<EndBoth>> first, second;
    int called = 0;
  };
  struct EndBoth {
    Both* both;
    void operator()() const {
      Both* const all = both;  // this object goes
      ++all->called;
      all->first.reset();
      all->second.reset();
    }
  };
  // Which of the two is called first is not said.
  Both both;
  using Registration = std::stop_callback<EndBoth>;
  both.first.reset(new Registration(operation.OnCancel(EndBoth{&both})));
  both.second.reset(new Registration(operation.OnCancel(EndBoth{&both})));
  source.Cancel();
  EXPECT_EQ(both.called, 1);
}

TEST(OperationTest, APartEndsWithTheWholeButNotTheWholeWithAPart) {
  CancelSource whole;
  const TraceContext trace{.trace_id = {1}, .span_id = {2}, .flags = 1};
  const absl::Time deadline = absl::Now() + absl::Hours(1);
  const Operation all = whole.operation().Until(deadline).Traced(trace);
  CancelSource one(all), other(all);
  EXPECT_EQ(one.operation().deadline(), deadline);
  ASSERT_NE(one.operation().trace(), nullptr);
  EXPECT_EQ(one.operation().trace()->ToString(), trace.ToString());
  one.Cancel();
  EXPECT_TRUE(one.operation().cancelled());
  EXPECT_FALSE(all.cancelled());
  EXPECT_FALSE(other.operation().cancelled());
  whole.Cancel();
  EXPECT_TRUE(other.operation().cancelled());
  CancelSource late(all);
  EXPECT_TRUE(late.operation().cancelled());
}

// Once the destructor of a registration has returned its callback does not run: what it uses may
// go.
TEST(OperationTest, ACallbackDoesNotOutliveItsRegistration) {
  for (int round = 0; round < 2000; ++round) {
    CancelSource source;
    const Operation operation = source.operation();
    std::atomic<bool> go{false};
    std::thread canceller([&] {
      while (!go) {
      }
      source.Cancel();
    });
    {
      auto used = std::make_unique<int>(0);
      const auto registration = operation.OnCancel([p = used.get()] { ++*p; });
      go = true;
      if (round % 2 == 0) std::this_thread::yield();
    }
    canceller.join();
  }
}

TEST(OperationTest, ManyComeAndGoWhileItIsCancelled) {
  for (int round = 0; round < 20; ++round) {
    CancelSource source;
    std::atomic<int> told{0}, too_late{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        const Operation operation = source.operation();
        while (!operation.cancelled()) {
          const auto one = operation.OnCancel([&] { ++told; });
          CancelSource part(operation);
          const auto other = part.operation().OnCancel([&] { ++told; });
        }
        const auto last = operation.OnCancel([&] { ++too_late; });
      });
    }
    for (int i = 0; i < 2; ++i) threads.emplace_back([&] { source.Cancel(); });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(too_late, 4);
  }
}

TEST(OperationWaitTest, EndsByTheConditionOrTheOperation) {
  CancelSource source;
  const Operation operation = source.operation();
  absl::Mutex mutex;
  bool done = false;
  std::thread worker([&] {
    absl::MutexLock lock(&mutex);
    done = true;
  });
  {
    const OperationWait wait(operation, mutex);
    absl::MutexLock lock(&mutex);
    EXPECT_TRUE(wait.Await(absl::Condition(&done)));
  }
  worker.join();
  std::thread canceller([&] { source.Cancel(); });
  {
    const bool never = false;
    const OperationWait wait(operation, mutex);
    absl::MutexLock lock(&mutex);
    EXPECT_FALSE(wait.Await(absl::Condition(&never)));
    EXPECT_TRUE(wait.Await(absl::Condition(&done))) << "what is there counts all the same";
  }
  canceller.join();
}

TEST(OperationWaitTest, EndsAtADeadline) {
  absl::Mutex mutex;
  const bool never = false;
  const Operation operation(absl::Now() + absl::Milliseconds(5));
  const OperationWait wait(operation, mutex);
  const Operation endless;
  const OperationWait other(endless, mutex);
  absl::MutexLock lock(&mutex);
  EXPECT_FALSE(wait.Await(absl::Condition(&never)));
  EXPECT_FALSE(operation.Check("work").ok());
  EXPECT_FALSE(other.Await(absl::Condition(&never), absl::Now() + absl::Milliseconds(5)));
}

TEST(OperationWaitTest, AHundredWaitersAreWokenByOneCancellation) {
  CancelSource source;
  absl::Mutex mutex;
  std::atomic<int> waiting{0};
  std::vector<std::thread> waiters;
  for (int i = 0; i < 100; ++i) {
    waiters.emplace_back([&] {
      const Operation operation = source.operation();
      const bool never = false;
      const OperationWait wait(operation, mutex);
      absl::MutexLock lock(&mutex);
      ++waiting;
      EXPECT_FALSE(wait.Await(absl::Condition(&never)));
    });
  }
  while (waiting < 100) std::this_thread::yield();
  source.Cancel();
  for (std::thread& waiter : waiters) waiter.join();
}

TEST(OperationWaitTest, SleepsUndisturbedUntilItIsCancelled) {
  absl::Mutex mutex;
  EXPECT_FALSE(CancelledWhileAsleep([&](const Operation& operation) {
    const bool never = false;
    const Operation bounded = operation.Until(absl::Now() + absl::Hours(1));
    const OperationWait wait(bounded, mutex);
    absl::MutexLock lock(&mutex);
    return wait.Await(absl::Condition(&never));
  }));
}

TEST(OperationTest, SleepsUntilItIsCancelled) {
  EXPECT_TRUE(Operation().Sleep(absl::Milliseconds(1)));
  EXPECT_FALSE(Operation(absl::Now() + absl::Milliseconds(1)).Sleep(absl::Hours(1)));
  CancelSource source;
  EXPECT_TRUE(source.operation().Sleep(absl::Milliseconds(1)));
  EXPECT_FALSE(source.operation().Until(absl::Now() + absl::Milliseconds(1)).Sleep(absl::Hours(1)));
  EXPECT_FALSE(CancelledWhileAsleep(
      [](const Operation& operation) { return operation.Sleep(absl::InfiniteDuration()); }));
}

class CancelEventTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    read_ = UniqueFd(ends[0]);
    write_ = UniqueFd(ends[1]);
    wait_.fd = read_.get();
  }
  UniqueFd read_, write_;
  pollfd wait_{.fd = -1, .events = POLLIN, .revents = 0};
};

TEST_F(CancelEventTest, EndsByADescriptorADeadlineOrACancellation) {
  CancelSource source;
  const Operation operation = source.operation();
  const CancelEvent cancelled(operation);
  ASSERT_OK(cancelled.status());
  EXPECT_EQ(cancelled.Poll(absl::MakeSpan(&wait_, 1), absl::Now() + absl::Milliseconds(5)), 0);
  ASSERT_EQ(write(write_.get(), "x", 1), 1);
  EXPECT_EQ(cancelled.Poll(absl::MakeSpan(&wait_, 1)), 1);
  EXPECT_EQ(wait_.revents, POLLIN);
  char byte;
  ASSERT_EQ(read(read_.get(), &byte, 1), 1);
  std::thread canceller([&] { source.Cancel(); });
  EXPECT_EQ(cancelled.Poll(absl::MakeSpan(&wait_, 1)), 0);
  EXPECT_EQ(wait_.revents, 0);
  canceller.join();
  EXPECT_TRUE(operation.cancelled());
  const CancelEvent late(operation);
  EXPECT_EQ(late.Poll(absl::MakeSpan(&wait_, 1)), 0);
}

TEST_F(CancelEventTest, SleepsUndisturbedUntilItIsCancelled) {
  EXPECT_EQ(CancelledWhileAsleep([&](const Operation& operation) {
              const CancelEvent cancelled(operation);
              return cancelled.Poll(absl::MakeSpan(&wait_, 1));
            }),
            0);
}

TEST_F(CancelEventTest, TakesNoDescriptorWhereNobodyCancels) {
  const Operation operation(absl::Now() + absl::Milliseconds(5));
  const int next = dup(0);
  close(next);
  const CancelEvent cancelled(operation);
  const int after = dup(0);
  close(after);
  EXPECT_EQ(next, after);
  EXPECT_EQ(cancelled.Poll(absl::MakeSpan(&wait_, 1)), 0);
  EXPECT_TRUE(operation.Ended());
}

TEST(PollTimeoutTest, IsNeverTooShort) {
  EXPECT_EQ(PollTimeout(absl::InfiniteFuture()), -1);
  EXPECT_EQ(PollTimeout(absl::InfinitePast()), 0);
  EXPECT_EQ(PollTimeout(absl::Now() - absl::Seconds(1)), 0);
  EXPECT_GT(PollTimeout(absl::Now() + absl::Hours(24 * 365)), 1000000000);
  const absl::Time deadline = absl::Now() + absl::Seconds(1000);
  const int timeout = PollTimeout(deadline);
  EXPECT_GT(timeout, 900000);
  EXPECT_LE(timeout, 1000001);
}

}  // namespace
}  // namespace crisp
