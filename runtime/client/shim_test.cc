#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "runtime/client/testing/shim_test_pod.h"
#include "runtime/wire/wire.h"

namespace crisp::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

int64_t Micros(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() -
                                                               since)
      .count();
}

// The processes of the node whose command line is this, with blanks between the words.
std::vector<std::string> ProcessesOf(absl::string_view command) {
  std::vector<std::string> found;
  for (const std::string& pid : ListDir("/proc").value_or(std::vector<std::string>())) {
    std::string line = ReadFile(absl::StrCat("/proc/", pid, "/cmdline")).value_or("");
    std::replace(line.begin(), line.end(), '\0', ' ');
    if (absl::StripSuffix(line, " ") == command) found.push_back(pid);
  }
  return found;
}

TEST_F(ShimTest, RunsAContainerToItsEnd) {
  StartPod();
  const ContainerPlan plan = MakeContainer("echo hello; echo oops >&2; hostname; exit 3");
  const absl::Time begun = absl::Now();
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
  EXPECT_GE(record.exited_at, begun);
  EXPECT_LE(record.exited_at, absl::Now());
  ASSERT_OK_AND_ASSIGN(const auto reports, shim_->Report());
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].state, ContainerReport::State::kExited);
  EXPECT_EQ(reports[0].exit.exit_code, 3);
  EXPECT_OK(shim_->Signal(plan.container_id, SIGTERM));
  EXPECT_THAT(shim_->StartContainer(plan.container_id, Operation()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_OK(shim_->RemoveContainer(plan.container_id));
  EXPECT_OK(shim_->RemoveContainer("unknown"));
  EXPECT_OK(shim_->Shutdown());
  EXPECT_OK(shim_->Shutdown());
}

TEST_F(ShimTest, LooksLikeAContainerInside) {
  StartPod();
  // One stream, for between two only time decides.
  const std::string log = RunScript(
      "exec 2>&1;"
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

// Shims set sysctls in a procfs that a few dozen of them share: later ones do it as well as the
// first, and none keeps it.
TEST_F(ShimTest, SysctlsOfManyPods) {
  for (int i = 0; i < 70; ++i) {
    PodPlan pod = MakePod();
    pod.sysctls = {{"net.ipv4.ip_unprivileged_port_start", absl::StrCat(2000 + i)}};
    StartPod(pod);
    ASSERT_OK_AND_ASSIGN(const auto names, ListDir(absl::StrCat("/proc/", shim_->pid(), "/fd")));
    for (const std::string& name : names) {
      struct statfs fs {};
      if (statfs(absl::StrCat("/proc/", shim_->pid(), "/fd/", name).c_str(), &fs) != 0) continue;
      EXPECT_NE(fs.f_type, PROC_SUPER_MAGIC) << name << " of pod " << i;
    }
    if (i % 34 == 0) {
      EXPECT_THAT(RunScript("cat /proc/sys/net/ipv4/ip_unprivileged_port_start"),
                  HasSubstr(absl::StrCat(2000 + i, "\n")));
    }
    ASSERT_OK(shim_->Shutdown());
  }
}

TEST_F(ShimTest, SignalsAndExitCodes) {
  StartPod();
  const ContainerPlan plan =
      MakeContainer("trap 'exit 7' TERM; echo up; while true; do sleep 0.05; done");
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  EXPECT_THAT(shim_->CreateContainer(plan, Operation()),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(shim_->ReopenLog(plan.container_id), StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Operation()));
  EXPECT_THAT(shim_->RemoveContainer(plan.container_id),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(shim_->Shutdown(), StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_TRUE(AwaitLog(plan, "up\n"));
  ASSERT_OK(shim_->Signal(plan.container_id, SIGTERM));
  EXPECT_EQ(observer_.WaitContainer(plan.container_id).exit_code, 7);

  const ContainerPlan killed = MakeContainer("sleep 100");
  ASSERT_OK(shim_->CreateContainer(killed, Operation()));
  ASSERT_OK(shim_->StartContainer(killed.container_id, Operation()));
  ASSERT_OK(shim_->Signal(killed.container_id, SIGKILL));
  const ExitRecord record = observer_.WaitContainer(killed.container_id);
  EXPECT_EQ(record.exit_code, 137);
  EXPECT_EQ(record.signal, 9);
}

TEST_F(ShimTest, StartErrorsSayWhatFailed) {
  StartPod();
  ContainerPlan plan = MakeContainer("");
  plan.process.argv = {"/no/such/program"};
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  EXPECT_THAT(shim_->StartContainer(plan.container_id, Operation()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("execute \"/no/such/program\"")));
  ASSERT_OK_AND_ASSIGN(const auto reports, shim_->Report());
  EXPECT_EQ(reports[0].state, ContainerReport::State::kExited);
  EXPECT_EQ(reports[0].exit.exit_code, 128);
  ASSERT_OK_AND_ASSIGN(const ExitRecord record, ReadExitRecord(plan.exit_record));
  EXPECT_EQ(record.exit_code, 128);

  plan = MakeContainer("");
  plan.process.argv = {"nothere"};
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  EXPECT_THAT(shim_->StartContainer(plan.container_id, Operation()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("$PATH")));

  plan = MakeContainer("true");
  plan.mounts.push_back({.destination = "/data", .source = "/no/such/source"});
  EXPECT_THAT(shim_->CreateContainer(plan, Operation()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/source")));
  // A volatile upper directory is never used twice: a new container.
  plan = MakeContainer("test ! -e /data");
  plan.mounts.push_back({.destination = "/data", .source = "/no/such/source", .optional = true});
  Run(plan);

  plan = MakeContainer("true");
  plan.cgroup_dirs = {"/sys/fs/cgroup/no/such"};
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  EXPECT_THAT(shim_->StartContainer(plan.container_id, Operation()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/sys/fs/cgroup/no/such")));
}

TEST_F(ShimTest, DaemonMayDieAndAnotherAdopts) {
  const PodPlan pod = MakePod();
  StartPod(pod);
  const ContainerPlan plan =
      MakeContainer("trap 'exit 9' TERM; while true; do echo tick; sleep 0.02; done");
  const ContainerPlan brief = MakeContainer("sleep 0.2; exit 6");
  for (const ContainerPlan& one : {plan, brief}) {
    ASSERT_OK(shim_->CreateContainer(one, Operation()));
    ASSERT_OK(shim_->StartContainer(one.container_id, Operation()));
  }
  shim_.reset();
  pool_.reset();  // closes every socket, as the kernel does for a killed daemon
  ASSERT_TRUE(Eventually([&] { return ReadExitRecord(brief.exit_record).ok(); }));
  ASSERT_OK_AND_ASSIGN(const ExitRecord missed, ReadExitRecord(brief.exit_record));
  EXPECT_EQ(missed.exit_code, 6);
  StartPool();
  const size_t before = LogOf(plan).size();
  ASSERT_OK_AND_ASSIGN(shim_, pool_->AdoptPod(pod.pod_id, pod.state_dir, Operation()));
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
  EXPECT_TRUE(Eventually([&] { return LogOf(plan).size() > before; }));
  EXPECT_THAT(pool_->AdoptPod("other", pod.state_dir, Operation()),
              StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(shim_, pool_->AdoptPod(pod.pod_id, pod.state_dir, Operation()));
  ASSERT_OK(shim_->Signal(plan.container_id, SIGTERM));
  EXPECT_EQ(observer_.WaitContainer(plan.container_id).exit_code, 9);
  EXPECT_OK(shim_->Shutdown());
  EXPECT_THAT(pool_->AdoptPod(pod.pod_id, pod.state_dir, Operation()),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ShimTest, ExecsEndWithTheirDaemon) {
  const PodPlan pod = MakePod();
  StartPod(pod);
  const ContainerPlan plan = MakeContainer("while true; do sleep 0.02; done");
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Operation()));
  // No other test's.
  const std::string sleeper = absl::StrCat("sleep ", 10000000 + getpid());
  const ExecPlan exec = MakeExec(plan.container_id, absl::StrCat(sleeper, " & ", sleeper));
  ASSERT_OK(shim_->Exec(exec, {}, Operation()));
  const auto sleepers = [&sleeper] { return ProcessesOf(sleeper).size(); };
  EXPECT_TRUE(Eventually([&] { return sleepers() == 2; }));
  shim_.reset();
  pool_.reset();
  EXPECT_TRUE(Eventually([&] { return sleepers() == 0; }));
  StartPool();
  ASSERT_OK_AND_ASSIGN(shim_, pool_->AdoptPod(pod.pod_id, pod.state_dir, Operation()));
  ASSERT_OK_AND_ASSIGN(const auto reports, shim_->Report());
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].state, ContainerReport::State::kRunning);
  ASSERT_OK(shim_->Signal(plan.container_id, SIGKILL));
  (void)observer_.WaitContainer(plan.container_id);
  EXPECT_OK(shim_->Shutdown());
}

// The pod's socket is root's only, but a confused client must not take the pod down.
TEST_F(ShimTest, GarbageOnTheSocketIsRefused) {
  const PodPlan pod = MakePod();
  StartPod(pod);
  const ContainerPlan plan = MakeContainer("sleep 100");
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Operation()));
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
        .version = kHeaderForm,
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
  ASSERT_OK_AND_ASSIGN(shim_, pool_->AdoptPod(pod.pod_id, pod.state_dir, Operation()));
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
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  ASSERT_OK_AND_ASSIGN(const StartedProcess started,
                       shim_->StartContainer(plan.container_id, Operation()));
  ASSERT_EQ(kill(shim_->pid(), SIGKILL), 0);
  EXPECT_TRUE(observer_.WaitDeath(pod.pod_id));
  EXPECT_TRUE(Gone(started.pid));
  EXPECT_THAT(shim_->Report(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(pool_->AdoptPod(pod.pod_id, pod.state_dir, Operation()),
              StatusIs(absl::StatusCode::kNotFound));
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
    ASSERT_OK(shim_->CreateContainer(plan, Operation()));
    creates.push_back(Micros(at));
    at = std::chrono::steady_clock::now();
    ASSERT_OK(shim_->StartContainer(plan.container_id, Operation()));
    starts.push_back(Micros(at));
    at = std::chrono::steady_clock::now();
    ExecPlan exec = MakeExec(plan.container_id, "");
    exec.process.argv = {"/bin/true"};
    ASSERT_OK(shim_->Exec(exec, {}, Operation()));
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
