#include "cri/state/step_timer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"

namespace crisp::cri {
namespace {

using ::testing::HasSubstr;

TEST(StepTimerTest, EveryStepIsLoggedAndObserved) {
  metrics::Registry metrics;
  StepLog log;
  StepTimer timer("RunPodSandbox", log, &metrics);
  absl::SleepFor(absl::Milliseconds(3));
  timer.Done("shim");
  timer.Done("network");
  const Json steps = log.ToJson();
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[0]["operation"], "RunPodSandbox");
  EXPECT_EQ(steps[0]["step"], "shim");
  EXPECT_GE(steps[0]["microseconds"].get<int64_t>(), 3000);
  EXPECT_LT(steps[1]["microseconds"].get<int64_t>(), steps[0]["microseconds"].get<int64_t>())
      << "counted from the step before";
  EXPECT_THAT(
      metrics.Text(),
      HasSubstr("crisp_step_seconds_count{operation=\"RunPodSandbox\",step=\"network\"} 1"));
}

TEST(StepTimerTest, TheLogIsBounded) {
  StepLog log;
  StepTimer timer("StopContainer", log, nullptr);
  for (int i = 0; i < 200; ++i) timer.Done(i < 150 ? "old" : "new");
  const Json steps = log.ToJson();
  EXPECT_EQ(steps.size(), 64u);
  EXPECT_EQ(steps.back()["step"], "new");
}

}  // namespace
}  // namespace crisp::cri
