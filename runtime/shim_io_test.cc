#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_matchers.h"
#include "runtime/shim/wire.h"
#include "runtime/shim_test_pod.h"

namespace crisp::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
TEST_F(ShimTest, LogSplitsLongLinesAndMarksAnUnfinishedOne) {
  StartPod();
  ContainerPlan plan =
      MakeContainer("head -c 250 /dev/zero | tr '\\0' x; echo; echo -n 'no newline'");
  plan.max_log_line = 100;
  Run(plan);
  const std::string x(100, 'x');
  const std::string raw = LogOf(plan, true);
  EXPECT_THAT(raw, HasSubstr(absl::StrCat(" stdout P ", x, "\n")));
  EXPECT_THAT(raw, HasSubstr(absl::StrCat(" stdout F ", x.substr(50), "\n")));
  EXPECT_THAT(raw, HasSubstr(" stdout P no newline\n"));
}

TEST_F(ShimTest, LogLosesNothingOfABurst) {
  StartPod();
  const ContainerPlan plan = MakeContainer("seq 1 200000");
  std::string expected;
  for (int i = 1; i <= 200000; ++i) absl::StrAppend(&expected, i, "\n");
  EXPECT_TRUE(Run(plan) == expected);
}

TEST_F(ShimTest, LogCanBeReopened) {
  StartPod();
  const ContainerPlan plan =
      MakeContainer("i=0; while test $i -lt 3000; do i=$((i+1)); echo $i; sleep 0.01; done");
  ASSERT_OK(shim_->CreateContainer(plan, Cancel()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Cancel()));
  for (int i = 0; i < 100 && LogOf(plan).size() < 6; ++i) usleep(20000);
  ASSERT_EQ(rename(plan.log_path.c_str(), (plan.log_path + ".1").c_str()), 0);
  ASSERT_OK(shim_->ReopenLog(plan.container_id));
  EXPECT_EQ(access(plan.log_path.c_str(), F_OK), 0);
  const size_t before = LogOf(plan).size();
  for (int i = 0; i < 100 && LogOf(plan).size() <= before + 4; ++i) usleep(20000);
  ASSERT_OK_AND_ASSIGN(const std::string old_log, ReadFile(plan.log_path + ".1"));
  ASSERT_OK_AND_ASSIGN(const std::string new_log, ReadFile(plan.log_path));
  const std::vector<std::string> old_lines = absl::StrSplit(old_log, '\n', absl::SkipEmpty());
  const std::vector<std::string> new_lines = absl::StrSplit(new_log, '\n', absl::SkipEmpty());
  const int last = atoi(old_lines.back().substr(old_lines.back().rfind(' ')).c_str());
  const int first = atoi(new_lines.front().substr(new_lines.front().rfind(' ')).c_str());
  EXPECT_EQ(first, last + 1);

}

TEST_F(ShimTest, LogSurvivesAFullDisk) {
  StartPod();
  const std::string disk = absl::StrCat(dir_.path(), "/disk");
  ASSERT_OK(MakeDirs(disk));
  ASSERT_EQ(mount("small", disk.c_str(), "tmpfs", 0, "size=64k"), 0);
  ContainerPlan plan = MakeContainer("while :; do echo 0123456789; done");
  plan.log_path = disk + "/./0.log";
  ASSERT_OK(shim_->CreateContainer(plan, Cancel()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Cancel()));
  // A full disk refuses every write; the container goes on and the gap is noted afterwards.
  for (int i = 0; i < 500 && LogOf(plan, true).size() < 60000; ++i) usleep(10000);
  usleep(100000);
  ASSERT_EQ(rename(plan.log_path.c_str(), (plan.log_path + ".1").c_str()), 0);
  ASSERT_OK(shim_->ReopenLog(plan.container_id));
  // Not before: until then the room would go to the old file.
  ASSERT_EQ(unlink((plan.log_path + ".1").c_str()), 0);
  for (int i = 0; i < 500 && LogOf(plan, true).size() < 60; ++i) usleep(10000);
  EXPECT_THAT(LogOf(plan), HasSubstr("bytes of log dropped"));
  ASSERT_OK(shim_->Signal(plan.container_id, SIGKILL));
  EXPECT_EQ(observer_.WaitContainer(plan.container_id).exit_code, 137);
  EXPECT_EQ(umount2(disk.c_str(), MNT_DETACH), 0);
}

TEST_F(ShimTest, ExecRunsInsideWithItsOwnStdio) {
  StartPod();
  const ContainerPlan plan = MakeContainer("echo mark > /tmp/mark; exec sleep 100");
  ASSERT_OK(shim_->CreateContainer(plan, Cancel()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Cancel()));
  for (int i = 0; i < 100 && access((plan.upper_dir + "/tmp/mark").c_str(), F_OK) != 0; ++i) {
    usleep(10000);
  }
  ExecPlan exec = MakeExec(plan.container_id,
                           "cat /tmp/mark; hostname; ls /proc/self/fd | tr '\\n' ' '; id -u; "
                           "id -G; pwd; cat /proc/1/comm; exit 5");
  exec.process.uid = 1000;
  exec.process.groups = {7, 8};
  exec.process.cwd = "/tmp";
  EXPECT_EQ(RunExec(exec, 5), "mark\ntestpod\n0 1 2 3 1000\n0 7 8\n/tmp\nsleep\n");
  exec = MakeExec(plan.container_id, "");
  exec.process.argv = {"/nope"};
  EXPECT_THAT(shim_->Exec(exec, {}, Cancel()), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(shim_->Exec(MakeExec("nobody", "true"), {}, Cancel()),
              StatusIs(absl::StatusCode::kNotFound));
  // A null stdin is at its end at once; output of nobody is discarded.
  exec = MakeExec(plan.container_id, "cat; echo done");
  ASSERT_OK(shim_->Exec(exec, {}, Cancel()));
  EXPECT_EQ(observer_.WaitExec(exec.exec_id).exit_code, 0);
}

class CgroupShimTest : public ShimTest {
 protected:
  void TearDown() override {
    ShimTest::TearDown();
    for (int i = 0; i < 100 && !cgroup_.empty() && rmdir(cgroup_.c_str()) != 0 && errno == EBUSY;
         ++i) {
      usleep(10000);
    }
  }
  std::string MakeCgroup(const std::string& hierarchy) {
    cgroup_ = absl::StrCat("/sys/fs/cgroup/", hierarchy, "/crisp-shim-test-", getpid());
    if (mkdir(cgroup_.c_str(), 0755) != 0) cgroup_.clear();
    return cgroup_;
  }
  void TreeKill(bool v2);
  std::string cgroup_;
};

void CgroupShimTest::TreeKill(bool v2) {
  StartPod();
  ContainerPlan plan = MakeContainer("sleep 100; echo survived-wait; sleep 100");
  plan.cgroup_dirs = {cgroup_};
  plan.cgroup_v2 = v2;
  ASSERT_OK(shim_->CreateContainer(plan, Cancel()));
  ASSERT_OK_AND_ASSIGN(const StartedProcess started,
                       shim_->StartContainer(plan.container_id, Cancel()));
  ASSERT_OK_AND_ASSIGN(std::string procs, ReadFile(cgroup_ + "/cgroup.procs"));
  EXPECT_THAT(procs, HasSubstr(absl::StrCat(started.pid, "\n")));

  ExecPlan exec = MakeExec(plan.container_id, "setsid sleep 90 & (setsid sleep 91 &) ; sleep 92");
  exec.cgroup_dirs = plan.cgroup_dirs;
  exec.cgroup_v2 = v2;
  ASSERT_OK(shim_->Exec(exec, {}, Cancel()));
  usleep(200000);
  ExecPlan look = MakeExec(plan.container_id, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
  look.cgroup_dirs = plan.cgroup_dirs;
  look.cgroup_v2 = v2;
  std::string out = RunExec(look);
  EXPECT_THAT(out, HasSubstr("sleep 90"));
  EXPECT_THAT(out, HasSubstr("sleep 91"));
  ASSERT_OK(shim_->KillExec(exec.exec_id));
  EXPECT_EQ(observer_.WaitExec(exec.exec_id).exit_code, 137);
  usleep(50000);
  look.exec_id += "b";
  out = RunExec(look);
  EXPECT_THAT(out, Not(HasSubstr("sleep 90")));
  EXPECT_THAT(out, Not(HasSubstr("sleep 91")));
  EXPECT_THAT(out, HasSubstr("sleep 100"));  // the container lives
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
  ContainerPlan plan = MakeContainer("sleep 100 & sleep 101; wait");
  plan.private_cgroup_namespace = false;
  plan.cgroup_dirs = {cgroup_};
  plan.cgroup_v2 = access((cgroup_ + "/tasks").c_str(), F_OK) != 0;
  ASSERT_OK(shim_->CreateContainer(plan, Cancel()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Cancel()).status());
  const auto exec_of = [&plan, this](const std::string& script) {
    ExecPlan exec = MakeExec(plan.container_id, script);
    exec.cgroup_dirs = plan.cgroup_dirs;
    exec.cgroup_v2 = plan.cgroup_v2;
    return exec;
  };
  const ExecPlan exec = exec_of("setsid sleep 90 & (sleep 91 &) ; sleep 92");
  ASSERT_OK(shim_->Exec(exec, {}, Cancel()));
  usleep(200000);
  ASSERT_OK(shim_->KillExec(exec.exec_id));
  EXPECT_EQ(observer_.WaitExec(exec.exec_id).exit_code, 137);
  usleep(50000);
  ExecPlan look = exec_of("cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
  look.exec_id += "b";
  const std::string out = RunExec(look);
  EXPECT_THAT(out, Not(HasSubstr("sleep 9")));
  EXPECT_THAT(out, HasSubstr("sleep 100"));
  EXPECT_THAT(out, HasSubstr("sleep 101"));
}

TEST_F(CgroupShimTest, KillExecEndsItsWholeTreeOnV1) {
  if (MakeCgroup("freezer").empty()) GTEST_SKIP() << "no v1 freezer hierarchy";
  TreeKill(false);
}

TEST_F(CgroupShimTest, KillExecEndsItsWholeTreeOnV2) {
  if (MakeCgroup("unified").empty() && MakeCgroup("").empty()) GTEST_SKIP() << "no cgroup v2";
  TreeKill(true);
}

TEST_F(ShimTest, AttachGetsCopiesAndFeedsStdin) {
  StartPod();
  ContainerPlan plan = MakeContainer("cat; echo bye >&2");
  plan.stdin_open = plan.stdin_once = true;
  ASSERT_OK(shim_->CreateContainer(plan, Cancel()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Cancel()));
  int in[2], out[2], err[2], other[2];
  for (int* ends : {in, out, err, other}) ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  UniqueFd in_w(in[1]), out_r(out[0]), err_r(err[0]), other_r(other[0]);
  ASSERT_OK(shim_->Attach(plan.container_id, {.stdout_fd = other[1]}));
  ASSERT_OK(shim_->Attach(plan.container_id,
                          {.stdin_fd = in[0], .stdout_fd = out[1], .stderr_fd = err[1]}));
  for (int fd : {in[0], out[1], err[1], other[1]}) close(fd);
  ASSERT_OK(WriteAll(in_w.get(), "through\n", "stdin"));
  in_w.reset();  // stdin_once: cat sees the end
  EXPECT_THAT(ReadFd(out_r.get(), "out").value_or(""), "through\n");
  EXPECT_THAT(ReadFd(err_r.get(), "err").value_or(""), "bye\n");
  EXPECT_THAT(ReadFd(other_r.get(), "other").value_or(""), "through\n");
  EXPECT_EQ(observer_.WaitContainer(plan.container_id).exit_code, 0);
  EXPECT_EQ(LogOf(plan), "through\nbye\n");
}

TEST_F(ShimTest, SlowAttacherNeverBlocksTheContainer) {
  StartPod();
  const ContainerPlan plan = MakeContainer("sleep 0.3; yes 0123456789 | head -c 3000000");
  ASSERT_OK(shim_->CreateContainer(plan, Cancel()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Cancel()));
  int out[2];
  ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
  UniqueFd reader(out[0]), writer(out[1]);
  ASSERT_OK(shim_->Attach(plan.container_id, {.stdout_fd = writer.get()}));
  EXPECT_EQ(observer_.WaitContainer(plan.container_id).exit_code, 0);
  EXPECT_GE(LogOf(plan).size(), 3000000u);
}

TEST_F(ShimTest, AnAttacherThatLagsTooFarIsCutOffAsAWhole) {
  StartPod();
  const ContainerPlan plan =
      MakeContainer("sleep 0.3; yes 0123456789 | head -c 6000000; exec sleep 100");
  ASSERT_OK(shim_->CreateContainer(plan, Cancel()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Cancel()));
  int out[2], err[2];
  ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(err, O_CLOEXEC), 0);
  UniqueFd out_reader(out[0]), out_writer(out[1]), err_reader(err[0]), err_writer(err[1]);
  ASSERT_OK(shim_->Attach(plan.container_id,
                          {.stdout_fd = out_writer.get(), .stderr_fd = err_writer.get()}));
  out_writer.reset();
  err_writer.reset();
  // The output that is not taken is stdout's; the end of stderr tells of the cut.
  EXPECT_EQ(ReadFd(err_reader.get(), "stderr").value_or("an error"), "");
  EXPECT_EQ(shim_->Report()->at(0).state, ContainerReport::State::kRunning);
}

TEST_F(ShimTest, TerminalOfAContainer) {
  StartPod();
  ContainerPlan plan =
      MakeContainer("tty; stty size; read x; stty size; echo got $x; test -c /dev/console");
  plan.process.terminal = plan.stdin_open = true;
  plan.process.terminal_rows = 24;
  plan.process.terminal_columns = 80;
  ASSERT_OK(shim_->CreateContainer(plan, Cancel()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Cancel()));
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  UniqueFd ours(pair[0]), theirs(pair[1]);
  ASSERT_OK(
      shim_->Attach(plan.container_id, {.stdin_fd = theirs.get(), .stdout_fd = theirs.get()}));
  theirs.reset();
  ASSERT_OK(shim_->ResizeTerminal(plan.container_id, "", 50, 132));
  ASSERT_OK(WriteAll(ours.get(), "word\n", "terminal"));
  EXPECT_EQ(observer_.WaitContainer(plan.container_id).exit_code, 0);
  const std::string log = LogOf(plan);
  EXPECT_THAT(log, HasSubstr("/dev/pts/0\n"));
  EXPECT_THAT(log, HasSubstr("50 132\n"));
  EXPECT_THAT(log, HasSubstr("got word\n"));
  EXPECT_THAT(LogOf(plan, true), Not(HasSubstr("stderr")));
  EXPECT_THAT(ReadFd(ours.get(), "terminal").value_or(""), HasSubstr("got word\r\n"));
}

TEST_F(ShimTest, TerminalOfAnExec) {
  StartPod();
  const ContainerPlan plan = MakeContainer("sleep 100");
  ASSERT_OK(shim_->CreateContainer(plan, Cancel()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Cancel()));
  ExecPlan exec =
      MakeExec(plan.container_id, "tty; read x; stty size; seq 1 20000; echo end $x; exit 4");
  exec.process.terminal = true;
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  UniqueFd ours(pair[0]), theirs(pair[1]);
  ASSERT_OK(shim_->Exec(exec, {.stdin_fd = theirs.get(), .stdout_fd = theirs.get()}, Cancel()));
  theirs.reset();
  ASSERT_OK(shim_->ResizeTerminal(plan.container_id, exec.exec_id, 33, 44));
  ASSERT_OK(WriteAll(ours.get(), "typed\n", "terminal"));
  const std::string out = ReadFd(ours.get(), "terminal").value_or("");
  EXPECT_THAT(out, HasSubstr("33 44\r\n"));
  EXPECT_THAT(out, HasSubstr("\r\n20000\r\nend typed\r\n"));
  EXPECT_EQ(observer_.WaitExec(exec.exec_id).exit_code, 4);
}

}  // namespace
}  // namespace crisp::runtime
