#include "runtime/shim/loop.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "gtest/gtest.h"
#include "runtime/shim/testing/fake_kernel.h"

namespace crisp::shim {
namespace {

constexpr uint64_t kMillisecond = 1000000;

// Readable from the beginning.
class Counter : public Watch {
 public:
  Counter() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    EXPECT_EQ(write(ends[1], "", 1), 1);
    writer_ = ends[1];
    Adopt(ends[0]);
    EXPECT_TRUE(Want(EPOLLIN));
  }
  ~Counter() override { close(writer_); }
  void Ready(uint32_t) override {
    ++ready;
    if (rests) Rest();
  }
  int ready = 0;
  bool rests = false;

 private:
  int writer_ = -1;
};

class LoopTest : public ::testing::Test {
 protected:
  LoopTest() {
    g_kernel = FakeKernel();
    EXPECT_TRUE(StartLoop());
  }
};

TEST_F(LoopTest, WhoRestsIsReadyOnceItHas) {
  Counter counter;
  counter.rests = true;
  for (int i = 0; i < 5; ++i) RunOnce(0);
  EXPECT_EQ(counter.ready, 1);
  g_kernel.now += 9 * kMillisecond;
  RunOnce(0);
  EXPECT_EQ(counter.ready, 1);
  for (int round = 2; round < 5; ++round) {
    g_kernel.now += 10 * kMillisecond;
    for (int i = 0; i < 3; ++i) RunOnce(0);
    EXPECT_EQ(counter.ready, round);
  }
  counter.rests = false;
  g_kernel.now += 10 * kMillisecond;
  for (int i = 0; i < 4; ++i) RunOnce(0);
  EXPECT_EQ(counter.ready, 7);  // it takes a turn to be watched again
}

TEST_F(LoopTest, WhatIsWantedMeanwhileHoldsAfterwards) {
  Counter counter;
  counter.Rest();
  EXPECT_TRUE(counter.Want(0));
  EXPECT_TRUE(counter.resting());
  g_kernel.now += 10 * kMillisecond;
  for (int i = 0; i < 3; ++i) RunOnce(0);
  EXPECT_EQ(counter.ready, 0);
  counter.Rest();
  EXPECT_TRUE(counter.Want(EPOLLIN));
  g_kernel.now += 10 * kMillisecond;
  for (int i = 0; i < 3; ++i) RunOnce(0);
  EXPECT_EQ(counter.ready, 2);
}

TEST_F(LoopTest, WhoIsClosedWhileItRestsIsForgotten) {
  Counter stays;
  {
    Counter first, second;
    stays.Rest();
    first.Rest();
    second.Rest();
    first.Close();
  }
  g_kernel.now += 10 * kMillisecond;
  for (int i = 0; i < 3; ++i) RunOnce(0);
  EXPECT_EQ(stays.ready, 2);
}

TEST_F(LoopTest, NothingIsWaitedForLongerThanARest) {
  g_kernel.clock = true;
  Counter counter;
  counter.Rest();
  // For ever, but for the rest.
  while (counter.ready == 0) RunOnce(-1);
  EXPECT_FALSE(counter.resting());
}

}  // namespace
}  // namespace crisp::shim
