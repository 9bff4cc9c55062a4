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

int64_t Micros(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() -
                                                               since)
      .count();
}

TEST_F(ShimTest, RunsAContainerToItsEnd) {
  StartPod();
  const ContainerPlan plan = MakeContainer("echo hello; echo oops >&2; hostname; exit 3");
  const std::string log = Run(plan, 3);
  EXPECT_THAT(log, HasSubstr("hello\n"));
  EXPECT_THAT(log, HasSubstr("testpod\n"));
  const std::string raw = LogOf(plan, true);
  EXPECT_THAT(raw, HasSubstr(" stdout F hello\n"));
  EXPECT_THAT(raw, HasSubstr(" stderr F oops\n"));
  struct stat status;
  ASSERT_EQ(stat(plan.log_path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
  ASSERT_OK_AND_ASSIGN(const ExitRecord record, ReadExitRecord(plan.exit_record));
  EXPECT_EQ(record.exit_code, 3);
  EXPECT_LT(absl::Now() - record.exited_at, absl::Seconds(20));
  ASSERT_OK_AND_ASSIGN(const auto reports, shim_->Report());
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].state, ContainerReport::State::kExited);
  EXPECT_EQ(reports[0].exit.exit_code, 3);
  EXPECT_OK(shim_->Signal(plan.container_id, SIGTERM));
  EXPECT_THAT(shim_->StartContainer(plan.container_id, Cancel()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_OK(shim_->RemoveContainer(plan.container_id));
  EXPECT_OK(shim_->RemoveContainer("unknown"));
  EXPECT_OK(shim_->Shutdown());
  EXPECT_OK(shim_->Shutdown());
}

TEST_F(ShimTest, LooksLikeAContainerInside) {
  StartPod();
  const std::string log = RunScript(
      "echo fds: $(ls /proc/self/fd | tr '\\n' ' ');"
      "echo pid $$; echo cwd $(pwd);"
      "cat /proc/version | wc -c; ls /sys/firmware | wc -l; touch /proc/sys/kernel/x 2>&1;"
      "echo x > /proc/sys/kernel/domainname || echo ro-sys;"
      "stat -c '%t:%T %a' /dev/null; readlink /dev/fd; readlink /dev/ptmx;"
      "touch /dev/shm/a && echo shm; grep -c . /proc/self/mountinfo; cat /proc/1/status | grep "
      "Seccomp:;"
      "echo > /sys/kernel/x || echo ro-sysfs; ls / | tr '\\n' ' '; grep -v ' / ' /proc/net/dev | "
      "wc -l");
  // ls itself opens the directory: 3 is its own.
  EXPECT_THAT(log, HasSubstr("fds: 0 1 2 3\n"));
  EXPECT_THAT(log, HasSubstr("pid 1\n"));
  EXPECT_THAT(log, HasSubstr("cwd /\n0\n0\n"));
  EXPECT_THAT(log, HasSubstr("ro-sys\n"));
  EXPECT_THAT(log, HasSubstr("ro-sysfs\n"));
  EXPECT_THAT(log, HasSubstr("1:3 666\n/proc/self/fd\npts/ptmx\nshm\n"));
}

TEST_F(ShimTest, SignalsAndExitCodes) {
  StartPod();
  const ContainerPlan plan =
      MakeContainer("trap 'exit 7' TERM; echo up; while true; do sleep 0.05; done");
  ASSERT_OK(shim_->CreateContainer(plan, Cancel()));
  EXPECT_THAT(shim_->CreateContainer(plan, Cancel()), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(shim_->ReopenLog(plan.container_id), StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Cancel()));
  EXPECT_THAT(shim_->RemoveContainer(plan.container_id),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(shim_->Shutdown(), StatusIs(absl::StatusCode::kFailedPrecondition));
  for (int i = 0; i < 100 && LogOf(plan).empty(); ++i) usleep(20000);
  ASSERT_OK(shim_->Signal(plan.container_id, SIGTERM));
  EXPECT_EQ(observer_.WaitContainer(plan.container_id).exit_code, 7);

  const ContainerPlan killed = MakeContainer("sleep 100");
  ASSERT_OK(shim_->CreateContainer(killed, Cancel()));
  ASSERT_OK(shim_->StartContainer(killed.container_id, Cancel()));
  ASSERT_OK(shim_->Signal(killed.container_id, SIGKILL));
  const ExitRecord record = observer_.WaitContainer(killed.container_id);
  EXPECT_EQ(record.exit_code, 137);
  EXPECT_EQ(record.signal, 9);
}

TEST_F(ShimTest, StartErrorsSayWhatFailed) {
  StartPod();
  ContainerPlan plan = MakeContainer("");
  plan.process.argv = {"/no/such/program"};
  ASSERT_OK(shim_->CreateContainer(plan, Cancel()));
  EXPECT_THAT(shim_->StartContainer(plan.container_id, Cancel()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("execute \"/no/such/program\"")));
  ASSERT_OK_AND_ASSIGN(const auto reports, shim_->Report());
  EXPECT_EQ(reports[0].state, ContainerReport::State::kExited);
  EXPECT_EQ(reports[0].exit.exit_code, 128);
  ASSERT_OK_AND_ASSIGN(const ExitRecord record, ReadExitRecord(plan.exit_record));
  EXPECT_EQ(record.exit_code, 128);

  plan = MakeContainer("");
  plan.process.argv = {"nothere"};
  ASSERT_OK(shim_->CreateContainer(plan, Cancel()));
  EXPECT_THAT(shim_->StartContainer(plan.container_id, Cancel()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("$PATH")));

  plan = MakeContainer("true");
  plan.mounts.push_back({.destination = "/data", .source = "/no/such/source"});
  EXPECT_THAT(shim_->CreateContainer(plan, Cancel()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/source")));
  // A volatile upper directory is never used twice: a new container.
  plan = MakeContainer("test ! -e /data");
  plan.mounts.push_back({.destination = "/data", .source = "/no/such/source", .optional = true});
  Run(plan);

  plan = MakeContainer("true");
  plan.cgroup_dirs = {"/sys/fs/cgroup/no/such"};
  ASSERT_OK(shim_->CreateContainer(plan, Cancel()));
  EXPECT_THAT(shim_->StartContainer(plan.container_id, Cancel()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/sys/fs/cgroup/no/such")));
}

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

TEST_F(ShimTest, LogCanBeReopenedAndSurvivesAFullDisk) {
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

  // /dev/full refuses every write; the container goes on and the gap is noted afterwards.
  ASSERT_EQ(unlink(plan.log_path.c_str()), 0);
  ASSERT_EQ(mknod(plan.log_path.c_str(), S_IFCHR | 0600, 0x107), 0);
  ASSERT_OK(shim_->ReopenLog(plan.container_id));
  usleep(100000);
  ASSERT_EQ(unlink(plan.log_path.c_str()), 0);
  ASSERT_OK(shim_->ReopenLog(plan.container_id));
  for (int i = 0; i < 100 && LogOf(plan).size() < 60; ++i) usleep(20000);
  EXPECT_THAT(LogOf(plan), HasSubstr("bytes of log dropped"));
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
  // The leaves are gone: only files are left.
  usleep(50000);
  ASSERT_OK_AND_ASSIGN(const auto names, ListDir(cgroup_));
  for (const std::string& name : names) EXPECT_FALSE(absl::StartsWith(name, "exec-")) << name;
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

TEST_F(ShimTest, DaemonMayDieAndAnotherAdopts) {
  const PodPlan pod = MakePod();
  StartPod(pod);
  const ContainerPlan plan =
      MakeContainer("trap 'exit 9' TERM; while true; do echo tick; sleep 0.02; done");
  const ContainerPlan brief = MakeContainer("sleep 0.2; exit 6");
  for (const ContainerPlan& one : {plan, brief}) {
    ASSERT_OK(shim_->CreateContainer(one, Cancel()));
    ASSERT_OK(shim_->StartContainer(one.container_id, Cancel()));
  }
  shim_.reset();
  pool_.reset();  // closes every socket, as the kernel does for a killed daemon
  usleep(400000);
  ASSERT_OK_AND_ASSIGN(const ExitRecord missed, ReadExitRecord(brief.exit_record));
  EXPECT_EQ(missed.exit_code, 6);
  StartPool();
  const size_t before = LogOf(plan).size();
  ASSERT_OK_AND_ASSIGN(shim_, pool_->AdoptPod(pod.pod_id, pod.state_dir, Cancel()));
  EXPECT_GE(shim_->netns_fd(), 0);
  EXPECT_GE(shim_->rtnl_fd(), 0);
  ASSERT_OK_AND_ASSIGN(const auto reports, shim_->Report());
  ASSERT_EQ(reports.size(), 2u);
  for (const ContainerReport& report : reports) {
    const bool running = report.container_id == plan.container_id;
    EXPECT_EQ(report.state,
              running ? ContainerReport::State::kRunning : ContainerReport::State::kExited);
    EXPECT_EQ(report.pid > 0, running);
  }
  for (int i = 0; i < 100 && LogOf(plan).size() <= before; ++i) usleep(10000);
  EXPECT_GT(LogOf(plan).size(), before);
  EXPECT_THAT(pool_->AdoptPod("other", pod.state_dir, Cancel()),
              StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(shim_, pool_->AdoptPod(pod.pod_id, pod.state_dir, Cancel()));
  ASSERT_OK(shim_->Signal(plan.container_id, SIGTERM));
  EXPECT_EQ(observer_.WaitContainer(plan.container_id).exit_code, 9);
  EXPECT_OK(shim_->Shutdown());
  EXPECT_THAT(pool_->AdoptPod(pod.pod_id, pod.state_dir, Cancel()),
              StatusIs(absl::StatusCode::kNotFound));
}

// The pod's socket is root's only, but a confused client must not take the pod down.
TEST_F(ShimTest, GarbageOnTheSocketIsRefused) {
  const PodPlan pod = MakePod();
  StartPod(pod);
  const ContainerPlan plan = MakeContainer("sleep 100");
  ASSERT_OK(shim_->CreateContainer(plan, Cancel()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Cancel()));
  struct stat status;
  ASSERT_EQ(stat((pod.state_dir + "/shim.sock").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  uint32_t random = 12345;
  for (int round = 0; round < 300; ++round) {
    UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    ASSERT_OK_AND_ASSIGN(const UniqueFd dir, Open(pod.state_dir, O_PATH));
    const std::string path = absl::StrCat("/proc/self/fd/", dir.get(), "/shim.sock");
    memcpy(address.sun_path, path.c_str(), path.size() + 1);
    ASSERT_EQ(connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    std::string body;
    const size_t size = round % 200;
    for (size_t i = 0; i < size; ++i) {
      random = random * 1664525 + 1013904223;
      body.push_back(static_cast<char>(random >> 24));
    }
    const MessageHeader header = {
        .magic = round % 7 == 0 ? 0u : kWireMagic,
        .version = kWireVersion,
        // Every request but the one that ends the shim, and some that do not exist.
        .type = static_cast<uint16_t>(round % 12 + 2),
        .request_id = 1,
        .size = static_cast<uint32_t>(round % 5 == 0 ? size + 1 : size),
        .flags = round % 3 == 0 ? static_cast<uint32_t>(kPlanInMemfd | kStdinFd) : 0u};
    if (header.type == static_cast<uint16_t>(MessageType::kShutdown)) continue;
    const std::string bytes =
        std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + body;
    (void)send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    char answer[256];
    (void)recv(socket.get(), answer, sizeof(answer), 0);  // an answer or the end
  }
  ASSERT_OK_AND_ASSIGN(shim_, pool_->AdoptPod(pod.pod_id, pod.state_dir, Cancel()));
  ASSERT_OK_AND_ASSIGN(const auto reports, shim_->Report());
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].state, ContainerReport::State::kRunning);
}

TEST_F(ShimTest, PlanLongerThanAMessage) {
  StartPod();
  ContainerPlan plan = MakeContainer("env | wc -c");
  for (int i = 0; i < 100; ++i) {
    plan.process.env.push_back(absl::StrCat("V", i, "=", std::string(1000, 'v')));
  }
  EXPECT_GT(std::stoi(Run(plan)), 100000);
}

TEST_F(ShimTest, ContainersDieWithTheirShim) {
  const PodPlan pod = MakePod();
  StartPod(pod);
  ContainerPlan plan = MakeContainer("sleep 100");
  plan.process.uid = 1000;
  ASSERT_OK(shim_->CreateContainer(plan, Cancel()));
  ASSERT_OK_AND_ASSIGN(const StartedProcess started,
                       shim_->StartContainer(plan.container_id, Cancel()));
  ASSERT_EQ(kill(shim_->pid(), SIGKILL), 0);
  EXPECT_TRUE(observer_.WaitDeath(pod.pod_id));
  for (int i = 0; i < 200 && kill(started.pid, 0) == 0; ++i) usleep(10000);
  EXPECT_NE(kill(started.pid, 0), 0);
  EXPECT_THAT(shim_->Report(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(pool_->AdoptPod(pod.pod_id, pod.state_dir, Cancel()),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ShimTest, PodNamespacesAndSysctls) {
  PodPlan pod = MakePod();
  pod.sysctls = {{"net.ipv4.ip_unprivileged_port_start", "77"}, {"kernel.msgmax", "4096"}};
  StartPod(pod);
  EXPECT_GE(shim_->netns_fd(), 0);
  const std::string log = RunScript(
      "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax; "
      "grep -c : /proc/net/dev");
  EXPECT_THAT(log, HasSubstr("77\n4096\n"));
  pod = MakePod();
  pod.sysctls = {{"kernel.core_pattern", "|/bin/x"}};
  EXPECT_THAT(pool_->StartPod(pod, Cancel()), StatusIs(absl::StatusCode::kInvalidArgument));
  pod = MakePod();
  pod.new_net = false;
  pod.sysctls = {{"net.ipv4.ip_forward", "1"}};
  EXPECT_THAT(pool_->StartPod(pod, Cancel()), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ShimTest, SharedAndTargetedPidNamespaces) {
  PodPlan pod = MakePod();
  pod.shared_pid = true;
  StartPod(pod);
  ContainerPlan first = MakeContainer("sleep 77");
  first.pid = NamespaceMode::kPod;
  ASSERT_OK(shim_->CreateContainer(first, Cancel()));
  ASSERT_OK(shim_->StartContainer(first.container_id, Cancel()));
  ContainerPlan second =
      MakeContainer("usleep 1; cat /proc/[0-9]*/cmdline | tr '\\0' ' '; cat /proc/1/comm");
  second.pid = NamespaceMode::kPod;
  std::string log = Run(second);
  EXPECT_THAT(log, HasSubstr("sleep 77"));
  EXPECT_THAT(log, HasSubstr("crisp-pause"));

  const ContainerPlan alone = MakeContainer("sleep 88");
  ASSERT_OK(shim_->CreateContainer(alone, Cancel()));
  ASSERT_OK_AND_ASSIGN(const StartedProcess target,
                       shim_->StartContainer(alone.container_id, Cancel()));
  ContainerPlan debug = MakeContainer("cat /proc/1/cmdline | tr '\\0' ' '");
  debug.pid = NamespaceMode::kTarget;
  debug.target_pid = target.pid;
  EXPECT_THAT(Run(debug), HasSubstr("sleep 88"));
  ContainerPlan stale = MakeContainer("true");
  stale.pid = NamespaceMode::kTarget;
  stale.target_pid = getpid();
  ASSERT_OK(shim_->CreateContainer(stale, Cancel()));
  EXPECT_THAT(shim_->StartContainer(stale.container_id, Cancel()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(ShimTest, HostNamespaces) {
  StartPod();
  ContainerPlan plan = MakeContainer(
      "readlink /proc/self/ns/net; readlink /proc/self/ns/uts; "
      "readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc");
  plan.pid = plan.ipc = plan.net = plan.uts = NamespaceMode::kHost;
  std::string expected;
  for (const char* name : {"net", "uts", "pid", "ipc"}) {
    char link[64] = {};
    ASSERT_GT(readlink(absl::StrCat("/proc/self/ns/", name).c_str(), link, sizeof(link) - 1), 0);
    absl::StrAppend(&expected, link, "\n");
  }
  EXPECT_EQ(Run(plan), expected);
}

TEST_F(ShimTest, IdsCapabilitiesLimits) {
  StartPod();
  ContainerPlan plan = MakeContainer(
      "id; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status | tr '\\t' ' '; ulimit -n; "
      "umask; "
      "pwd; cat /proc/self/oom_score_adj");
  plan.process.uid = 1234;
  plan.process.gid = 4321;
  plan.process.groups = {4321, 99};
  plan.process.cap_bounding = 0x400;
  plan.process.cap_effective = plan.process.cap_permitted = 0x400;
  plan.process.cap_inheritable = plan.process.cap_ambient = 0x400;
  plan.process.no_new_privileges = true;
  plan.process.rlimits = {{7, {300, 400}}};
  plan.process.umask = 077;
  plan.process.cwd = "/made/for/me";
  plan.process.oom_score_adj = 500;
  // One instruction: allow everything.
  plan.process.seccomp_bpf = std::string("\x06\0\0\0\0\0\xff\x7f", 8);
  const std::string log = Run(plan);
  EXPECT_THAT(log, HasSubstr("uid=1234 gid=4321 groups=99,4321"));
  EXPECT_THAT(log, HasSubstr("CapInh: 0000000000000400\nCapPrm: 0000000000000400\n"
                             "CapEff: 0000000000000400\nCapBnd: 0000000000000400\n"
                             "CapAmb: 0000000000000400\n"));
  EXPECT_THAT(log, HasSubstr("NoNewPrivs: 1\nSeccomp: 2\n"));
  EXPECT_THAT(log, HasSubstr("300\n0077\n/made/for/me\n500\n"));
  // Without no_new_privs the filter needs a capability that the program does not get.
  plan = MakeContainer("grep -E '^(CapEff|Seccomp:)' /proc/self/status | tr '\\t' ' '");
  plan.process.cap_bounding = plan.process.cap_effective = plan.process.cap_permitted = 0x400;
  plan.process.seccomp_bpf = std::string("\x06\0\0\0\0\0\xff\x7f", 8);
  EXPECT_EQ(Run(plan), "CapEff: 0000000000000400\nSeccomp: 2\n");
}

TEST_F(ShimTest, SixtyLayersAndTheOldWay) {
  StartPod();
  for (const size_t padding : {size_t{1}, size_t{200}}) {
    // With 200 more bytes a path is too long for fsconfig: the shim mounts through the option page.
    ContainerPlan plan = MakeContainer("cat /layer; ls /only | wc -l");
    plan.lower_dirs.clear();
    const std::string base =
        padding > 1 ? absl::StrCat(std::string(padding, 'p'), "/", std::string(padding, 'q'), "/")
                    : "layers/";
    for (int i = 60; i >= 1; --i) {
      const std::string layer = MakeDir(absl::StrCat(base, i));
      ASSERT_OK(MakeDirs(layer + "/only"));
      ASSERT_OK(AtomicWriteFile(absl::StrCat(layer, "/only/", i), "x", 0644, Durability::kNone));
      ASSERT_OK(AtomicWriteFile(layer + "/layer", absl::StrCat(i, "\n"), 0644, Durability::kNone));
      plan.lower_dirs.push_back(layer);
    }
    plan.lower_dirs.push_back(MakeBusybox(absl::StrCat(base, "bottom")));
    plan.upper_dir = MakeDir(absl::StrCat(base, "upper"));
    plan.work_dir = MakeDir(absl::StrCat(base, "work"));
    EXPECT_EQ(Run(plan), "60\n60\n");
  }
}

TEST_F(ShimTest, ReadOnlyRootAndImageVolume) {
  StartPod();
  ContainerPlan plan = MakeContainer(
      "touch /x 2>&1 || echo ro; cat /img/f; touch /img/y 2>&1 || echo ro2; cat /sub/f");
  plan.rootfs_readonly = true;
  const std::string image = MakeDir("image");
  ASSERT_OK(MakeDirs(image + "/deep"));
  ASSERT_OK(AtomicWriteFile(image + "/f", "from image\n", 0644, Durability::kNone));
  ASSERT_OK(AtomicWriteFile(image + "/deep/f", "from deep\n", 0644, Durability::kNone));
  plan.mounts.push_back({.kind = MountKind::kOverlay, .destination = "/img", .lowers = {image}});
  plan.mounts.push_back(
      {.kind = MountKind::kOverlay, .destination = "/sub", .lowers = {image}, .sub_path = "deep"});
  const std::string log = Run(plan);
  EXPECT_THAT(log, HasSubstr("ro\nfrom image\n"));
  EXPECT_THAT(log, HasSubstr("ro2\nfrom deep\n"));
}

TEST_F(ShimTest, BindMountsAndCopyUp) {
  StartPod();
  const std::string volume = MakeDir("volume"), fresh = MakeDir("fresh");
  ASSERT_OK(MakeDirs(busybox_layer_ + "/var/data/inner"));
  ASSERT_OK(
      AtomicWriteFile(busybox_layer_ + "/var/data/inner/file", "seed\n", 0640, Durability::kNone));
  ASSERT_EQ(symlink("inner/file", (busybox_layer_ + "/var/data/link").c_str()), 0);
  ASSERT_EQ(symlink(volume.c_str(), (storage_ + "/volume-link").c_str()), 0);
  ASSERT_OK(AtomicWriteFile(dir_.path() + "/hosts", "1.2.3.4 me\n", 0644, Durability::kNone));
  ContainerPlan plan = MakeContainer(
      "echo w > /vol/w; touch /ro/x 2>&1 || echo ro; cat /etc/hosts; cat /var/data/link; "
      "stat -c %a /var/data/inner/file; echo n > /var/data/new");
  plan.mounts.push_back({.destination = "/vol", .source = storage_ + "/volume-link"});
  plan.mounts.push_back({.destination = "/ro", .source = volume, .attributes = 1});
  plan.mounts.push_back({.destination = "/etc/hosts", .source = dir_.path() + "/hosts"});
  plan.mounts.push_back({.destination = "/var/data", .source = fresh, .copy_up = true});
  const std::string log = Run(plan);
  EXPECT_THAT(log, HasSubstr("ro\n1.2.3.4 me\nseed\n640\n"));
  EXPECT_EQ(ReadFile(volume + "/w").value_or(""), "w\n");
  EXPECT_EQ(ReadFile(fresh + "/new").value_or(""), "n\n");
  EXPECT_NE(access((busybox_layer_ + "/var/data/new").c_str(), F_OK), 0);
}

TEST_F(ShimTest, HostileImagesStayInside) {
  StartPod();
  const std::string outside = absl::StrCat(dir_.path(), "/outside");
  ASSERT_OK(MakeDirs(outside));
  const std::vector<std::string> names = {"dev", "etc", "proc", "sys", "data"};
  const std::string up = absl::StrCat("../../../..", outside);
  for (const std::string& target : {outside, up, std::string("loop")}) {
    for (const std::string& name : names) {
      const std::string layer = MakeDir(absl::StrCat("hostile", ++count_));
      const std::string to = target == "loop" ? name : target;
      ASSERT_EQ(symlink(to.c_str(), absl::StrCat(layer, "/", name).c_str()), 0);
      ContainerPlan plan = MakeContainer("echo ran");
      plan.lower_dirs = {layer, busybox_layer_};
      plan.mounts.push_back({.destination = "/data/sub/file", .source = "/etc/hostname"});
      plan.mounts.push_back({.destination = "/etc/hosts", .source = "/etc/hostname"});
      plan.devices.push_back({.path = "/data/node", .major = 1, .minor = 3});
      ASSERT_OK(shim_->CreateContainer(plan, Cancel()));
      const auto started = shim_->StartContainer(plan.container_id, Cancel());
      if (target == "loop") {
        EXPECT_FALSE(started.ok()) << name;
      } else {
        EXPECT_OK(started) << name;
        EXPECT_EQ(observer_.WaitContainer(plan.container_id).exit_code, 0);
      }
      ASSERT_OK_AND_ASSIGN(const auto found, ListDir(outside));
      EXPECT_TRUE(found.empty()) << found[0];
    }
  }
}

TEST_F(ShimTest, ReplacedNullDeviceIsNotTheMask) {
  StartPod();
  // The image brings a symlink where the device should be, and the plan makes no /dev.
  const std::string layer = MakeDir("nullless");
  ASSERT_OK(MakeDirs(layer + "/dev"));
  ASSERT_EQ(symlink("/proc/sys/kernel/core_pattern", (layer + "/dev/null").c_str()), 0);
  ContainerPlan plan = MakeContainer(
      "cat /proc/version | wc -c; stat -c '%t:%T' /proc/version; readlink /proc/self/fd/0");
  plan.lower_dirs = {layer, busybox_layer_};
  plan.mounts.resize(1);
  plan.devices.clear();
  const std::string log = Run(plan);
  EXPECT_THAT(log, HasSubstr("0\n1:3\n"));
  EXPECT_THAT(log, Not(HasSubstr("core_pattern")));
}

TEST_F(ShimTest, WorkingDirectoryCannotBeADescriptor) {
  StartPod();
  const ContainerPlan host = MakeContainer("sleep 100");
  ASSERT_OK(shim_->CreateContainer(host, Cancel()));
  ASSERT_OK(shim_->StartContainer(host.container_id, Cancel()));
  for (int fd = 0; fd < 40; ++fd) {
    ExecPlan exec = MakeExec(host.container_id, "pwd");
    exec.process.cwd = absl::StrCat("/proc/self/fd/", fd);
    EXPECT_FALSE(shim_->Exec(exec, {}, Cancel()).ok()) << fd;
  }
  ContainerPlan plan = MakeContainer("pwd");
  plan.process.cwd = "/proc/self/fd/7";
  ASSERT_OK(shim_->CreateContainer(plan, Cancel()));
  EXPECT_FALSE(shim_->StartContainer(plan.container_id, Cancel()).ok());
}

TEST_F(ShimTest, UserNamespace) {
  PodPlan pod = MakePod();
  pod.uid_maps = pod.gid_maps = {{0, 200000, 65536}};
  // Everything on the way to the layers must be visible to nobody but is reached by descriptor.
  StartPod(pod);
  EXPECT_GE(shim_->userns_fd(), 0);
  ContainerPlan plan = MakeContainer(
      "id -u; cat /proc/self/uid_map | tr -s ' '; stat -c %u /bin/busybox; echo o > /mine; "
      "stat -c %u /mine; echo x > /dev/null && echo devnull; hostname; ls /proc/self/fd | tr '\\n' "
      "' '; "
      "mount -t tmpfs none /tmp && echo mounted; touch /dev/shm/q && stat -c %u /dev/shm/q; "
      "cat /vol/f; echo v > /vol/new");
  const std::string volume = MakeDir("uvol");
  ASSERT_OK(AtomicWriteFile(volume + "/f", "vol\n", 0600, Durability::kNone));
  plan.mounts.push_back({.destination = "/vol", .source = volume, .idmap = true});
  const std::string log = Run(plan);
  EXPECT_THAT(log,
              HasSubstr("0\n 0 200000 65536\n0\n0\ndevnull\ntestpod\n0 1 2 3 mounted\n0\nvol\n"));
  struct stat status;
  ASSERT_EQ(stat((plan.upper_dir + "/mine").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 0u);  // id-mapped on disk
  ASSERT_EQ(stat((volume + "/new").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 0u);

  const ContainerPlan host = MakeContainer("sleep 100");
  ASSERT_OK(shim_->CreateContainer(host, Cancel()));
  ASSERT_OK_AND_ASSIGN(const StartedProcess started,
                       shim_->StartContainer(host.container_id, Cancel()));
  ASSERT_EQ(stat(absl::StrCat("/proc/", started.pid, "/cmdline").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 200000u);
  EXPECT_EQ(RunExec(MakeExec(host.container_id, "id -u; cat /proc/1/comm")), "0\nsleep\n");
}

TEST_F(ShimTest, BidirectionalMountReachesTheHost) {
  StartPod();
  const std::string shared = MakeDir("shared");
  ASSERT_EQ(mount(shared.c_str(), shared.c_str(), nullptr, 4096 /* bind */, nullptr), 0);
  ASSERT_EQ(mount(nullptr, shared.c_str(), nullptr, 1 << 20 /* shared */, nullptr), 0);
  ASSERT_OK(MakeDirs(shared + "/sub"));
  ContainerPlan plan =
      MakeContainer("mount -t tmpfs none /shared/sub && echo seen > /shared/sub/f; sleep 100");
  plan.mounts.push_back(
      {.destination = "/shared", .source = shared, .propagation = Propagation::kShared});
  ASSERT_OK(shim_->CreateContainer(plan, Cancel()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Cancel()));
  for (int i = 0; i < 100 && access((shared + "/sub/f").c_str(), F_OK) != 0; ++i) usleep(10000);
  EXPECT_EQ(ReadFile(shared + "/sub/f").value_or("missing"), "seen\n");
  (void)umount2((shared + "/sub").c_str(), 2);
  (void)umount2(shared.c_str(), 2);
}

// Not judged, only shown: latencies and memory.
TEST_F(ShimTest, Figures) {
  std::vector<int64_t> pods, creates, starts, execs;
  for (int i = 0; i < 10; ++i) {
    auto at = std::chrono::steady_clock::now();
    StartPod();
    pods.push_back(Micros(at));
    const ContainerPlan plan = MakeContainer("exec sleep 100");
    at = std::chrono::steady_clock::now();
    ASSERT_OK(shim_->CreateContainer(plan, Cancel()));
    creates.push_back(Micros(at));
    at = std::chrono::steady_clock::now();
    ASSERT_OK(shim_->StartContainer(plan.container_id, Cancel()));
    starts.push_back(Micros(at));
    at = std::chrono::steady_clock::now();
    ExecPlan exec = MakeExec(plan.container_id, "");
    exec.process.argv = {"/bin/true"};
    ASSERT_OK(shim_->Exec(exec, {}, Cancel()));
    EXPECT_EQ(observer_.WaitExec(exec.exec_id).exit_code, 0);
    execs.push_back(Micros(at));
    if (i == 9) {
      ASSERT_OK_AND_ASSIGN(const std::string smaps,
                           ReadFile(absl::StrCat("/proc/", shim_->pid(), "/smaps_rollup")));
      for (absl::string_view line : absl::StrSplit(smaps, '\n')) {
        if (absl::StartsWith(line, "Pss:") || absl::StartsWith(line, "Rss:") ||
            absl::StartsWith(line, "Private_Dirty:")) {
          std::cout << "shim with one idle container: " << line << "\n";
        }
      }
      break;
    }
    ASSERT_OK(shim_->Signal(plan.container_id, SIGKILL));
    observer_.WaitContainer(plan.container_id);
    ASSERT_OK(shim_->Shutdown());
  }
  for (auto* list : {&pods, &creates, &starts, &execs}) std::sort(list->begin(), list->end());
  std::cout << "p50 us: StartPod " << pods[5] << ", CreateContainer " << creates[5]
            << ", StartContainer " << starts[5] << ", exec true to its exit " << execs[5] << "\n";
}

}  // namespace
}  // namespace crisp::runtime
