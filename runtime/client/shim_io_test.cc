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
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "runtime/client/testing/shim_test_pod.h"
#include "runtime/wire/wire.h"

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
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Operation()));
  ASSERT_TRUE(AwaitLog(plan, "3\n"));
  ASSERT_EQ(rename(plan.log_path.c_str(), (plan.log_path + ".1").c_str()), 0);
  ASSERT_OK(shim_->ReopenLog(plan.container_id));
  EXPECT_EQ(access(plan.log_path.c_str(), F_OK), 0);
  const size_t before = LogOf(plan).size();
  ASSERT_TRUE(Eventually([&] { return LogOf(plan).size() > before + 4; }));
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
  const std::string disk = run_ + "/disk";
  ASSERT_OK(MakeDirs(disk));
  ASSERT_EQ(mount("small", disk.c_str(), "tmpfs", 0, "size=64k"), 0);
  ContainerPlan plan = MakeContainer("while :; do seq 1 20000; echo >>/tmp/rounds; done");
  plan.log_path = disk + "/./0.log";
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Operation()));
  // A full disk refuses every write; the container goes on and the gap is noted afterwards.
  const std::string rounds = plan.upper_dir + "/tmp/rounds";
  ASSERT_TRUE(Eventually([&] { return LogOf(plan, true).size() >= 60000; }));
  // Twice what may be on its way to the disk.
  const size_t full = ReadFile(rounds).value_or("").size();
  ASSERT_TRUE(Eventually([&] { return ReadFile(rounds).value_or("").size() > full + 20; }));
  ASSERT_EQ(rename(plan.log_path.c_str(), (plan.log_path + ".1").c_str()), 0);
  ASSERT_OK(shim_->ReopenLog(plan.container_id));
  // Not before: until then the room would go to the old file.
  ASSERT_EQ(unlink((plan.log_path + ".1").c_str()), 0);
  EXPECT_TRUE(AwaitLog(plan, "bytes of log dropped"));
  ASSERT_OK(shim_->Signal(plan.container_id, SIGKILL));
  EXPECT_EQ(observer_.WaitContainer(plan.container_id).exit_code, 137);
  EXPECT_EQ(umount2(disk.c_str(), MNT_DETACH), 0);
}

TEST_F(ShimTest, ExecRunsInsideWithItsOwnStdio) {
  StartPod();
  const ContainerPlan plan = MakeContainer("echo mark > /tmp/mark; exec sleep 100");
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  ASSERT_OK_AND_ASSIGN(const StartedProcess init,
                       shim_->StartContainer(plan.container_id, Operation()));
  ASSERT_TRUE(Eventually([&] { return CommOf(init.pid) == "sleep"; }));
  ExecPlan exec = MakeExec(plan.container_id,
                           "cat /tmp/mark; hostname; ls /proc/self/fd | tr '\\n' ' '; id -u; "
                           "id -G; pwd; cat /proc/1/comm; exit 5");
  exec.process.uid = 1000;
  exec.process.groups = {7, 8};
  exec.process.cwd = "/tmp";
  EXPECT_EQ(RunExec(exec, 5), "mark\ntestpod\n0 1 2 3 1000\n0 7 8\n/tmp\nsleep\n");
  exec = MakeExec(plan.container_id, "");
  exec.process.argv = {"/nope"};
  EXPECT_THAT(shim_->Exec(exec, {}, Operation()), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(shim_->Exec(MakeExec("nobody", "true"), {}, Operation()),
              StatusIs(absl::StatusCode::kNotFound));
  // A null stdin is at its end at once; output of nobody is discarded.
  exec = MakeExec(plan.container_id, "cat; echo done");
  ASSERT_OK(shim_->Exec(exec, {}, Operation()));
  EXPECT_EQ(observer_.WaitExec(exec.exec_id).exit_code, 0);
}

TEST_F(ShimTest, AttachGetsCopiesAndFeedsStdin) {
  StartPod();
  ContainerPlan plan = MakeContainer("cat; echo bye >&2");
  plan.stdin_open = plan.stdin_once = true;
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Operation()));
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
  const ContainerPlan plan = MakeContainer(kOnGo + "yes 0123456789 | head -c 3000000");
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Operation()));
  int out[2];
  ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
  UniqueFd reader(out[0]), writer(out[1]);
  ASSERT_OK(shim_->Attach(plan.container_id, {.stdout_fd = writer.get()}));
  Go(plan);
  EXPECT_EQ(observer_.WaitContainer(plan.container_id).exit_code, 0);
  EXPECT_GE(LogOf(plan).size(), 3000000u);
}

TEST_F(ShimTest, AnAttacherThatLagsTooFarIsCutOffAsAWhole) {
  StartPod();
  const ContainerPlan plan =
      MakeContainer(kOnGo + "yes 0123456789 | head -c 6000000; exec sleep 100");
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Operation()));
  int out[2], err[2];
  ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(err, O_CLOEXEC), 0);
  UniqueFd out_reader(out[0]), out_writer(out[1]), err_reader(err[0]), err_writer(err[1]);
  ASSERT_OK(shim_->Attach(plan.container_id,
                          {.stdout_fd = out_writer.get(), .stderr_fd = err_writer.get()}));
  out_writer.reset();
  err_writer.reset();
  Go(plan);
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
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Operation()));
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
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Operation()));
  ExecPlan exec =
      MakeExec(plan.container_id, "tty; read x; stty size; seq 1 20000; echo end $x; exit 4");
  exec.process.terminal = true;
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  UniqueFd ours(pair[0]), theirs(pair[1]);
  ASSERT_OK(shim_->Exec(exec, {.stdin_fd = theirs.get(), .stdout_fd = theirs.get()}, Operation()));
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
