// The child that has assembled the root, between CreateContainer and StartContainer.

#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "runtime/client/testing/shim_test_pod.h"

namespace crisp::runtime {
namespace {

using ::testing::HasSubstr;

class ShimWaitingTest : public ShimTest {
 protected:
  // The child that waits for the start of the pod's only container, once it waits.
  pid_t AwaitWaiting() {
    pid_t waiting = -1;
    (void)Eventually([&] {
      const std::vector<pid_t> children = ChildrenOf(shim_->pid());
      if (children.size() != 1) return false;
      // In read(2), x86-64's system call 0, of descriptor 3.
      const std::string call =
          ReadFile(absl::StrCat("/proc/", children[0], "/syscall")).value_or("");
      if (call.rfind("0 0x3 ", 0) == 0) waiting = children[0];
      return waiting > 0;
    });
    return waiting;
  }
};

TEST_F(ShimWaitingTest, BecomesTheProgram) {
  StartPod();
  const ContainerPlan plan = MakeContainer("echo from $$; exec sleep 100");
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  const pid_t waiting = AwaitWaiting();
  ASSERT_GT(waiting, 0);
  ASSERT_OK_AND_ASSIGN(auto reports, shim_->Report());
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].state, ContainerReport::State::kCreated);
  EXPECT_EQ(reports[0].pid, 0);
  ASSERT_OK_AND_ASSIGN(const StartedProcess started,
                       shim_->StartContainer(plan.container_id, Operation()));
  EXPECT_EQ(started.pid, waiting);
  ASSERT_OK(shim_->Signal(plan.container_id, SIGKILL));
  EXPECT_EQ(observer_.WaitContainer(plan.container_id).exit_code, 137);
}

TEST_F(ShimWaitingTest, WhatFailsMeanwhileUndoesTheContainer) {
  StartPod();
  const ContainerPlan plan = MakeContainer("true");
  const auto fail = [] { return absl::ResourceExhaustedError("no limits"); };
  EXPECT_EQ(shim_->CreateContainer(plan, -1, Operation(), fail), fail());
  ASSERT_OK_AND_ASSIGN(const auto reports, shim_->Report());
  EXPECT_TRUE(reports.empty());
}

TEST_F(ShimWaitingTest, EndsWithItsContainer) {
  StartPod();
  const ContainerPlan plan = MakeContainer("true");
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  const pid_t waiting = AwaitWaiting();
  ASSERT_GT(waiting, 0);
  ASSERT_OK(shim_->RemoveContainer(plan.container_id));
  EXPECT_TRUE(Gone(waiting));
  EXPECT_OK(shim_->Shutdown());
}

// The pod's pid 1 ends only after everything in its namespace has been reaped.
TEST_F(ShimWaitingTest, DoesNotKeepAPodWithASharedPidNamespace) {
  // Of some, for a machine may be busy with others: each that is kept takes eight seconds.
  absl::Duration least = absl::InfiniteDuration();
  for (int i = 0; i < 3; ++i) {
    PodPlan pod = MakePod();
    pod.shared_pid = true;
    StartPod(pod);
    ContainerPlan plan = MakeContainer("true");
    plan.pid = NamespaceMode::kPod;
    ASSERT_OK(shim_->CreateContainer(plan, Operation()));
    const absl::Time before = absl::Now();
    EXPECT_OK(shim_->Shutdown());
    least = std::min(least, absl::Now() - before);
  }
  EXPECT_LT(least, absl::Seconds(7)) << "they were given up";
}

TEST_F(ShimWaitingTest, AShimThatHangsIsKilled) {
  StartPod();
  ASSERT_EQ(kill(shim_->pid(), SIGSTOP), 0);
  EXPECT_OK(shim_->Shutdown());
  EXPECT_TRUE(Gone(shim_->pid()));
}

TEST_F(ShimWaitingTest, EndsWithItsShim) {
  const PodPlan pod = MakePod();
  StartPod(pod);
  const ContainerPlan first = MakeContainer("true");
  ASSERT_OK(shim_->CreateContainer(first, Operation()));
  const pid_t waiting = AwaitWaiting();
  ASSERT_GT(waiting, 0);
  // A second child, cloned while the first waits, must not keep it waiting.
  const ContainerPlan second = MakeContainer("exec sleep 100");
  ASSERT_OK(shim_->CreateContainer(second, Operation()));
  ASSERT_OK_AND_ASSIGN(const StartedProcess started,
                       shim_->StartContainer(second.container_id, Operation()));
  ASSERT_EQ(kill(shim_->pid(), SIGKILL), 0);
  EXPECT_TRUE(observer_.WaitDeath(pod.pod_id));
  EXPECT_TRUE(Gone(waiting));
  EXPECT_TRUE(Gone(started.pid));
}

TEST_F(ShimWaitingTest, ItsDeathFailsTheStart) {
  StartPod();
  const ContainerPlan plan = MakeContainer("true");
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  const pid_t waiting = AwaitWaiting();
  ASSERT_GT(waiting, 0);
  ASSERT_EQ(kill(waiting, SIGKILL), 0);
  ASSERT_TRUE(Gone(waiting));
  EXPECT_THAT(shim_->StartContainer(plan.container_id, Operation()),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("died before its program")));
  ASSERT_OK_AND_ASSIGN(const ExitRecord record, ReadExitRecord(plan.exit_record));
  EXPECT_EQ(record.exit_code, 128);
}

TEST_F(ShimWaitingTest, ItsErrorComesWithTheStart) {
  StartPod();
  ContainerPlan plan = MakeContainer("true");
  plan.process.cwd = "/bin/busybox";
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  EXPECT_TRUE(Eventually([&] { return ChildrenOf(shim_->pid()).empty(); }));
  EXPECT_THAT(shim_->StartContainer(plan.container_id, Operation()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("/bin/busybox")));
  ASSERT_OK_AND_ASSIGN(const auto reports, shim_->Report());
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].state, ContainerReport::State::kExited);
}

}  // namespace
}  // namespace crisp::runtime
