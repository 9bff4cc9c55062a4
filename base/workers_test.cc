#include "base/workers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "base/testing/test_threads.h"

namespace crisp {
namespace {

TEST(Workers, RunsMoreThanItsThreadsAtATime) {
  std::atomic<int> ran{0};
  {
    Workers workers({.most = 3});
    for (int i = 0; i < 50; ++i) ASSERT_OK(workers.Post([&] { ++ran; }));
    EXPECT_LE(workers.threads(), 3);
  }
  EXPECT_EQ(ran, 50);
}

TEST(Workers, WithoutAThreadWhatIsPostedFails) {
  Workers workers({.most = 3});
  ASSERT_TRUE(WithoutNewThreads([&] {
    EXPECT_THAT(workers.Post([] { ADD_FAILURE(); }),
                StatusIs(absl::StatusCode::kResourceExhausted));
  }));
  EXPECT_EQ(workers.threads(), 0);
}

TEST(Workers, WithoutAnotherThreadTheOneThatIsThereDoesIt) {
  std::atomic<int> ran{0};
  {
    absl::Notification go;
    Workers workers({.most = 3});
    ASSERT_OK(workers.Post([&] { go.WaitForNotification(); }));
    EXPECT_TRUE(Eventually([&] { return workers.threads() > 0; }));
    ASSERT_TRUE(WithoutNewThreads([&] { EXPECT_OK(workers.Post([&] { ++ran; })); }));
    go.Notify();
  }
  EXPECT_EQ(ran, 1);
}

TEST(Workers, WhatMayNotWaitFailsWhileAllAreBusy) {
  std::atomic<int> ran{0};
  absl::Notification go;
  Workers workers({.most = 2});
  for (int i = 0; i < 2; ++i) {
    EXPECT_OK(workers.PostNow([&] {
      ++ran;
      go.WaitForNotification();
    }));
  }
  EXPECT_THAT(workers.PostNow([] { ADD_FAILURE(); }),
              StatusIs(absl::StatusCode::kResourceExhausted));
  go.Notify();
}

}  // namespace
}  // namespace crisp
