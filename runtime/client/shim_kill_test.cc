// How execs are ended with all that they have begotten.

#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "runtime/client/testing/shim_test_pod.h"
#include "runtime/client/testing/syscall_injector.h"

namespace crisp::runtime {
namespace {

using ::testing::HasSubstr;

class CgroupShimTest : public ShimTest {
 protected:
  void TearDown() override {
    ShimTest::TearDown();
    for (const std::string& group : {cgroup_, pids_}) {
      EXPECT_TRUE(
          Eventually([&] { return group.empty() || rmdir(group.c_str()) == 0 || errno != EBUSY; }));
    }
  }
  std::string MakeCgroup(const std::string& hierarchy) {
    cgroup_ = absl::StrCat("/sys/fs/cgroup/", hierarchy, "/crisp-shim-test-", getpid());
    if (mkdir(cgroup_.c_str(), 0755) != 0) cgroup_.clear();
    return cgroup_;
  }
  void TreeKill(bool v2);
  // The command lines of the container's processes, each with a newline before and behind it.
  std::string CommandLines(const ContainerPlan& plan) {
    ExecPlan look = MakeExec(
        plan.container_id,
        "for f in /proc/[0-9]*/cmdline; do echo; tr '\\0' ' ' <$f; echo; done 2>/dev/null");
    look.cgroup_dirs = plan.cgroup_dirs;
    look.cgroup_v2 = plan.cgroup_v2;
    return RunExec(look);
  }
  // The number of processes with these command lines.
  int CountOf(const ContainerPlan& plan, const std::vector<std::string>& commands) {
    const std::string lines = CommandLines(plan);
    int count = 0;
    for (const std::string& command : commands)
      count += absl::StrContains(lines, absl::StrCat("\n", command, " \n"));
    return count;
  }
  // Limits the processes of the next containers. True if they can be counted.
  bool LimitProcesses(int most) {
    const std::string v1 = absl::StrCat("/sys/fs/cgroup/pids/crisp-shim-test-", getpid());
    pids_ = mkdir(v1.c_str(), 0755) == 0 ? v1 : cgroup_;
    return WriteKernelFile(pids_ + "/pids.max", absl::StrCat(most)).ok();
  }
  ContainerPlan StartInCgroup(const std::string& script) {
    ContainerPlan plan = MakeContainer(script);
    plan.cgroup_dirs = {cgroup_};
    if (!pids_.empty() && pids_ != cgroup_) plan.cgroup_dirs.push_back(pids_);
    plan.cgroup_v2 = access((cgroup_ + "/tasks").c_str(), F_OK) != 0;
    EXPECT_OK(shim_->CreateContainer(plan, Operation()));
    EXPECT_OK(shim_->StartContainer(plan.container_id, Operation()));
    return plan;
  }
  ExecPlan ExecIn(const ContainerPlan& plan, const std::string& script) {
    ExecPlan exec = MakeExec(plan.container_id, script);
    exec.cgroup_dirs = plan.cgroup_dirs;
    exec.cgroup_v2 = plan.cgroup_v2;
    return exec;
  }
  std::string cgroup_, pids_;
};

void CgroupShimTest::TreeKill(bool v2) {
  StartPod();
  ContainerPlan plan = MakeContainer("sleep 1000; echo survived-wait; sleep 1000");
  plan.cgroup_dirs = {cgroup_};
  plan.cgroup_v2 = v2;
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  ASSERT_OK_AND_ASSIGN(const StartedProcess started,
                       shim_->StartContainer(plan.container_id, Operation()));
  ASSERT_OK_AND_ASSIGN(std::string procs, ReadFile(cgroup_ + "/cgroup.procs"));
  EXPECT_THAT(procs, HasSubstr(absl::StrCat(started.pid, "\n")));

  ExecPlan exec =
      MakeExec(plan.container_id, "setsid sleep 900 & (setsid sleep 901 &) ; sleep 902");
  exec.cgroup_dirs = plan.cgroup_dirs;
  exec.cgroup_v2 = v2;
  ASSERT_OK(shim_->Exec(exec, {}, Operation()));
  const std::vector<std::string> tree = {"sleep 900", "sleep 901", "sleep 902"};
  ASSERT_TRUE(Eventually([&] { return CountOf(plan, tree) == 3; })) << CommandLines(plan);
  ASSERT_OK(shim_->KillExec(exec.exec_id));
  EXPECT_EQ(observer_.WaitExec(exec.exec_id).exit_code, 137);
  // Each dies of its signal in its own time.
  EXPECT_TRUE(Eventually([&] { return CountOf(plan, tree) == 0; })) << CommandLines(plan);
  EXPECT_EQ(CountOf(plan, {"sleep 1000"}), 1);  // the container lives
  EXPECT_OK(shim_->KillExec("unknown"));
  ASSERT_OK_AND_ASSIGN(const auto reports, shim_->Report());
  EXPECT_EQ(reports[0].state, ContainerReport::State::kRunning);
  // Nobody has made a group: only files are there.
  ASSERT_OK_AND_ASSIGN(const auto names, ListDir(cgroup_));
  for (const std::string& name : names) EXPECT_FALSE(absl::StartsWith(name, "exec-")) << name;
}

// Among the host's cgroups an exec's processes are those of its session and their descendants.
TEST_F(CgroupShimTest, KillExecEndsItsSessionWhereThereIsNoCgroupNamespace) {
  if (MakeCgroup("freezer").empty() && MakeCgroup("").empty()) GTEST_SKIP() << "no cgroup to make";
  StartPod();
  ContainerPlan plan = MakeContainer("sleep 1000 & sleep 1001; wait");
  plan.private_cgroup_namespace = false;
  plan.cgroup_dirs = {cgroup_};
  plan.cgroup_v2 = access((cgroup_ + "/tasks").c_str(), F_OK) != 0;
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Operation()).status());
  ExecPlan exec = MakeExec(plan.container_id, "setsid sleep 900 & (sleep 901 &) ; sleep 902");
  exec.cgroup_dirs = plan.cgroup_dirs;
  exec.cgroup_v2 = plan.cgroup_v2;
  ASSERT_OK(shim_->Exec(exec, {}, Operation()));
  const std::vector<std::string> tree = {"sleep 900", "sleep 901", "sleep 902"};
  ASSERT_TRUE(Eventually([&] { return CountOf(plan, tree) == 3; })) << CommandLines(plan);
  ASSERT_OK(shim_->KillExec(exec.exec_id));
  EXPECT_EQ(observer_.WaitExec(exec.exec_id).exit_code, 137);
  EXPECT_TRUE(Eventually([&] { return CountOf(plan, tree) == 0; })) << CommandLines(plan);
  EXPECT_EQ(CountOf(plan, {"sleep 1000", "sleep 1001"}), 2);
}

TEST_F(CgroupShimTest, KillExecEndsItsWholeTreeOnV1) {
  if (MakeCgroup("freezer").empty()) GTEST_SKIP() << "no v1 freezer hierarchy";
  TreeKill(false);
}

TEST_F(CgroupShimTest, KillExecEndsItsWholeTreeOnV2) {
  if (MakeCgroup("unified").empty() && MakeCgroup("").empty()) GTEST_SKIP() << "no cgroup v2";
  TreeKill(true);
}

// However many there are, others are served in between.
TEST_F(CgroupShimTest, ALargeTreeIsKilledALittleAtATime) {
  if (MakeCgroup("freezer").empty() && MakeCgroup("").empty()) GTEST_SKIP() << "no cgroup to make";
  StartPod();
  const ContainerPlan plan = StartInCgroup("sleep 1000");
  const ExecPlan exec =
      ExecIn(plan, "i=0; while test $i -lt 300; do sleep 900 & i=$((i+1)); done; sleep 901");
  ASSERT_OK(shim_->Exec(exec, {}, Operation()));
  ASSERT_TRUE(Eventually([&] { return CountOf(plan, {"sleep 901"}) == 1; }));
  std::atomic<int> calls = 0, most = 0;
  {
    const SyscallInjector turns(shim_->pid(),
                                {.calls = {}, .watch = [&](long number, const unsigned long*) {
                                   most = std::max<int>(most, ++calls);
                                   if (number == SYS_epoll_wait || number == SYS_epoll_pwait)
                                     calls = 0;
                                 }});
    ASSERT_TRUE(turns.works());
    EXPECT_OK(shim_->KillExec(exec.exec_id));
  }
  EXPECT_LT(most, 1000) << "calls between two looks at what else there is to do";
  EXPECT_EQ(observer_.WaitExec(exec.exec_id).exit_code, 137);
  EXPECT_TRUE(Eventually([&] {
    return CountOf(plan, {"sleep 900", "sleep 901"}) == 0;
  })) << CommandLines(plan);
  EXPECT_EQ(CountOf(plan, {"sleep 1000"}), 1);
}

TEST_F(CgroupShimTest, AForkBombIsKilledWhileAnotherContainerIsServed) {
  if (MakeCgroup("freezer").empty() && MakeCgroup("").empty()) GTEST_SKIP() << "no cgroup to make";
  if (!LimitProcesses(2000)) GTEST_SKIP() << "no pids controller";
  StartPod();
  const ContainerPlan sibling = MakeContainer("exec sleep 1000");
  ASSERT_OK(shim_->CreateContainer(sibling, Operation()));
  ASSERT_OK(shim_->StartContainer(sibling.container_id, Operation()));
  const ContainerPlan plan = StartInCgroup("while :; do sleep 1; done");  // it reaps
  // Each of them forks the next one and ends: whoever was seen is not there any more.
  const ExecPlan bomb =
      ExecIn(plan,
             "export F='sh -c \"$F\" &'; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do "
             "sh -c \"$F\"; done; exec sleep 1000");
  ASSERT_OK(shim_->Exec(bomb, {}, Operation()));
  const auto processes = [&] {
    const std::string procs = ReadFile(cgroup_ + "/cgroup.procs").value_or("");
    return std::count(procs.begin(), procs.end(), '\n');
  };
  // The bomb takes both processors of a small machine, from the test as well.
  ASSERT_TRUE(Eventually([&] { return processes() > 10; }, absl::Minutes(3)));
  absl::Status killed;
  std::atomic<bool> done = false;
  std::thread killer([&] {
    killed = shim_->KillExec(bomb.exec_id);
    done = true;
  });
  absl::Duration longest;
  while (!done) {
    const absl::Time asked = absl::Now();
    EXPECT_EQ(RunExec(MakeExec(sibling.container_id, "echo here")), "here\n");
    longest = std::max(longest, absl::Now() - asked);
  }
  killer.join();
  EXPECT_OK(killed);
  EXPECT_LT(longest, absl::Seconds(3)) << "an exec in another container";
  EXPECT_EQ(observer_.WaitExec(bomb.exec_id).exit_code, 137);
  EXPECT_TRUE(Eventually([&] { return processes() <= 2; }, absl::Minutes(3))) << CommandLines(plan);
}

}  // namespace
}  // namespace crisp::runtime
