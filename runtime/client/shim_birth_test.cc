#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "runtime/client/testing/shim_test_pod.h"
#include "runtime/oci/capabilities.h"
#include "runtime/seccomp/seccomp_filter.h"
#include "runtime/seccomp/seccomp_profile.h"

// How processes come to be and to their end, and what containers see of it that trace whatever they
// see.

namespace crisp::runtime {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kOneCap = 0x400, kSysAdmin = 1u << 21;
constexpr uint32_t kUser = 1234;

// A process inside a container's PID and mount namespaces that may trace all others there, and does
// this to each that comes, as often as it can, until it ends.
class Tenant {
 public:
  Tenant(pid_t init, const std::function<void(int pid, int* found)>& look) {
    EXPECT_EQ(pipe2(ends_, O_CLOEXEC), 0);
    child_ = fork();
    if (child_ == 0) Enter(init, look);
    close(ends_[1]);
    // It looks from now on.
    char ready = 0;
    EXPECT_EQ(read(ends_[0], &ready, 1), 1);
  }
  // The findings, as bits.
  int Found() {
    int found = 0;
    close(ends_[0]);
    (void)kill(child_, SIGTERM);
    int status = 0;
    EXPECT_EQ(waitpid(child_, &status, 0), child_);
    if (WIFEXITED(status)) found = WEXITSTATUS(status);
    return found;
  }

 private:
  void Enter(pid_t init, const std::function<void(int, int*)>& look) {
    close(ends_[0]);
    const int pids = open(absl::StrCat("/proc/", init, "/ns/pid").c_str(), O_RDONLY | O_CLOEXEC);
    const int mounts = open(absl::StrCat("/proc/", init, "/ns/mnt").c_str(), O_RDONLY | O_CLOEXEC);
    if (setns(pids, CLONE_NEWPID) != 0 || setns(mounts, CLONE_NEWNS) != 0) _exit(0);
    sigset_t end;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    sigprocmask(SIG_BLOCK, &end, nullptr);
    const pid_t inside = fork();
    if (inside == 0) Watch(look, ends_[1]);
    int signal = 0, status = 0;
    sigwait(&end, &signal);
    (void)kill(inside, SIGTERM);
    (void)waitpid(inside, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 0);
  }
  // The number that was given out last in this namespace.
  static int Newest(int loadavg) {
    char text[128];
    const ssize_t n = pread(loadavg, text, sizeof(text) - 1, 0);
    if (n <= 0) return 0;
    text[n] = '\0';
    const char* const last = strrchr(text, ' ');
    return last == nullptr ? 0 : atoi(last + 1);
  }
  // However many have come and gone while others had the processor.
  static void Watch(const std::function<void(int, int*)>& look, int ready) {
    int found = 0;
    sigset_t pending;
    const int own = getpid();
    const int loadavg = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    (void)!write(ready, "", 1);
    while (sigpending(&pending) == 0 && sigismember(&pending, SIGTERM) == 0) {
      const int newest = Newest(loadavg);
      for (int pid = std::max(own, newest - 2) + 1; pid <= newest; ++pid) {
        char path[32];
        snprintf(path, sizeof(path), "/proc/%d", pid);
        if (access(path, F_OK) == 0) look(pid, &found);
      }
    }
    _exit(found);
  }
  pid_t child_ = -1;
  int ends_[2] = {-1, -1};
};

enum : int {
  kSeen = 1,
  kDescriptor = 2,
  kRoot = 4,
  kCapability = 8,
  kIds = 16,
  kOpener = 32,
  kUnfiltered = 64
};

std::string LinkOf(int pid, const char* name) {
  char path[64], target[256];
  snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
  const ssize_t n = readlink(path, target, sizeof(target));
  return std::string(target, n > 0 ? static_cast<size_t>(n) : 0);
}

// Looks for what a process that is not its program yet holds of the outside.
void SeekTheOutside(int pid, int* found) {
  char path[64];
  struct stat own, its;
  snprintf(path, sizeof(path), "/proc/%d/root", pid);
  const bool rooted = stat(path, &its) != 0 || (stat("/", &own) == 0 && own.st_ino == its.st_ino &&
                                                own.st_dev == its.st_dev);
  bool descriptors = false;
  snprintf(path, sizeof(path), "/proc/%d/fd", pid);
  if (DIR* fds = opendir(path)) {
    while (const dirent* entry = readdir(fds)) {
      if (entry->d_name[0] == '.') continue;
      const std::string link = LinkOf(pid, absl::StrCat("fd/", entry->d_name).c_str());
      descriptors |= !link.empty() && link.rfind("pipe:", 0) != 0 &&
                     link.rfind("socket:", 0) != 0 && link != "/dev/null" &&
                     link != "anon_inode:[fscontext]";
    }
    closedir(fds);
  }
  const std::string status = ReadFile(absl::StrCat("/proc/", pid, "/status")).value_or("");
  // All of that counts only while it is the shim's copy: the program may do as it likes.
  if (LinkOf(pid, "exe").find("crisp-shim") == std::string::npos) return;
  const size_t permitted = status.find("CapPrm:\t"), ids = status.find("Uid:\t");
  const uint64_t capabilities = permitted == std::string::npos
                                    ? kOneCap
                                    : std::stoull(status.substr(permitted + 8, 16), nullptr, 16);
  *found |= descriptors ? kDescriptor : 0;
  // Before Linux 6.17 a process opens the procfs inside. It has a capability, and a filter that
  // leaves nothing to be done with it.
  if (capabilities == kSysAdmin && status.find("Seccomp:\t2\n") != std::string::npos) {
    *found |= kOpener;
    return;
  }
  *found |= kSeen | (rooted ? 0 : kRoot);
  if (capabilities != kOneCap) *found |= kCapability;
  if (status.find("Seccomp:\t0\n") != std::string::npos) *found |= kUnfiltered;
  if (ids != std::string::npos && std::stoul(status.substr(ids + 5)) != kUser) *found |= kIds;
}

void Stop(int pid, int*) { (void)kill(pid, SIGSTOP); }

class ShimBirthTest : public ShimTest {
 protected:
  StartedProcess Start(const ContainerPlan& plan) {
    EXPECT_OK(shim_->CreateContainer(plan, Operation()));
    auto started = shim_->StartContainer(plan.container_id, Operation());
    EXPECT_OK(started);
    return started.ok() ? *std::move(started) : StartedProcess{};
  }
  static void Confine(ProcessPlan* process) {
    process->uid = kUser;
    process->cap_bounding = process->cap_effective = process->cap_permitted = kOneCap;
    process->cap_inheritable = process->cap_ambient = kOneCap;
  }
  // It takes CAP_SYS_ADMIN, as no_new_privs is not set.
  static std::string DefaultFilter() {
    const auto filter = CompileSeccomp(*HostDefaultSeccomp(DefaultCapabilities()));
    EXPECT_OK(filter);
    return filter.ok() ? filter->bpf : "";
  }
  // Until a tenant has seen one come; what any of them saw. It takes many where there is little
  // time of a processor for the tenant.
  int Watch(pid_t init, const std::function<void()>& bear) {
    int found = 0;
    EXPECT_TRUE(Eventually([&] {
      Tenant tenant(init, SeekTheOutside);
      for (int i = 0; i < 20; ++i) bear();
      found |= tenant.Found();
      return (found & kSeen) != 0 || HasFailure();
    }));
    return found;
  }
  // Whether a child of the shim's has been stopped before its program.
  bool AnyStoppedAtBirth() {
    for (const pid_t pid : ChildrenOf(shim_->pid())) {
      if (StateOf(pid) == 'T' && LinkOf(pid, "exe").find("crisp-shim") != std::string::npos)
        return true;
    }
    return false;
  }
};

// A container may end at any moment of another one's start.
TEST_F(ShimBirthTest, NoEndIsLostWhileAnotherIsBorn) {
  for (const bool userns : {true, false}) {
    PodPlan pod = MakePod();
    if (userns) pod.uid_maps = pod.gid_maps = {{0, 200000, 65536}};
    StartPod(pod);
    for (int i = 0; i < 60; ++i) {
      const ContainerPlan first = MakeContainer("exec sleep 100"), second = MakeContainer("true");
      const StartedProcess running = Start(first);
      ASSERT_OK(shim_->CreateContainer(second, Operation()));
      std::thread killer([&] {
        usleep(static_cast<useconds_t>(100 * i));
        (void)syscall(SYS_pidfd_send_signal, running.pidfd.get(), SIGKILL, nullptr, 0);
      });
      EXPECT_OK(shim_->StartContainer(second.container_id, Operation()));
      killer.join();
      ASSERT_EQ(observer_.WaitContainer(first.container_id).exit_code, 137)
          << i << " userns " << userns;
      ASSERT_EQ(observer_.WaitContainer(second.container_id).exit_code, 0) << i;
      ASSERT_OK(shim_->RemoveContainer(first.container_id));
      ASSERT_OK(shim_->RemoveContainer(second.container_id));
    }
    ShimTest::TearDown();
  }
}

TEST_F(ShimBirthTest, AnExecIsSeenOnlyAsWhatItMayBe) {
  StartPod();
  const StartedProcess init = Start(MakeContainer("exec sleep 1000"));
  struct Case {
    std::string filter;
    bool no_new_privileges;
    int expected;
  };
  for (const Case& one : {Case{"", false, kSeen | kUnfiltered}, Case{DefaultFilter(), false, kSeen},
                          Case{DefaultFilter(), true, kSeen}}) {
    const int found = Watch(init.pid, [&] {
      ExecPlan exec = MakeExec(containers_.back(), "true");
      Confine(&exec.process);
      exec.process.seccomp_bpf = one.filter;
      exec.process.no_new_privileges = one.no_new_privileges;
      (void)RunExec(exec);
    });
    EXPECT_EQ(found, one.expected) << one.filter.size() << " " << one.no_new_privileges;
  }
}

// One that is to be called from inside cannot stand before, nor keep the program from being
// started.
TEST_F(ShimBirthTest, AFilterThatLetsNobodyBeBornStillStands) {
  StartPod();
  (void)Start(MakeContainer("exec sleep 1000"));
  ExecPlan exec = MakeExec(containers_.back(), "grep Seccomp: /proc/self/status");
  OciSeccomp profile = *HostDefaultSeccomp(DefaultCapabilities());
  for (OciSeccompRule& rule : profile.syscalls) {
    std::erase_if(rule.names, [](const std::string& name) {
      return name == "setsid" || name == "poll" || name == "ppoll";
    });
  }
  ASSERT_OK_AND_ASSIGN(const SeccompFilter filter, CompileSeccomp(profile));
  exec.process.seccomp_bpf = filter.bpf;
  EXPECT_EQ(RunExec(exec), "Seccomp:\t2\n");
}

TEST_F(ShimBirthTest, AStartInASharedPidNamespaceIsSeenOnlyAsWhatItMayBe) {
  PodPlan pod = MakePod();
  pod.shared_pid = true;
  StartPod(pod);
  ContainerPlan first = MakeContainer("exec sleep 1000");
  first.pid = NamespaceMode::kPod;
  const StartedProcess init = Start(first);
  const std::string filter = DefaultFilter();
  // Only what is not the own root may be told apart by it.
  const int found = Watch(init.pid, [&] {
    ContainerPlan plan = MakeContainer("true");
    plan.pid = NamespaceMode::kPod;
    Confine(&plan.process);
    plan.process.seccomp_bpf = filter;
    (void)Run(plan);
    ASSERT_OK(shim_->RemoveContainer(plan.container_id));
  });
  EXPECT_EQ(found & ~kRoot & ~kOpener, kSeen);
}

TEST_F(ShimBirthTest, ProcfsOfASharedPidNamespaceIsItsOwn) {
  for (const bool userns : {false, true}) {
    PodPlan pod = MakePod();
    pod.shared_pid = true;
    if (userns) pod.uid_maps = pod.gid_maps = {{0, 200000, 65536}};
    StartPod(pod);
    ContainerPlan plan =
        MakeContainer("test -e /proc/$$/exe && cat /proc/1/comm; set -- /proc/[0-9]*; echo $#");
    plan.pid = NamespaceMode::kPod;
    EXPECT_EQ(Run(plan), "crisp-pause\n2\n") << userns;
    ShimTest::TearDown();
  }
}

TEST_F(ShimBirthTest, PidOneOfASharedNamespaceHasNothing) {
  for (const bool userns : {false, true}) {
    PodPlan pod = MakePod();
    pod.shared_pid = true;
    if (userns) pod.uid_maps = pod.gid_maps = {{0, 200000, 65536}};
    StartPod(pod);
    // As the host's root sees it: nobody is told more.
    const std::vector<pid_t> children = ChildrenOf(shim_->pid());
    ASSERT_EQ(children.size(), 1u);
    const std::string proc = absl::StrCat("/proc/", children[0]);
    ASSERT_OK_AND_ASSIGN(const std::string status, ReadFile(proc + "/status"));
    EXPECT_THAT(status, HasSubstr("CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
                                  "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n"
                                  "CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n"));
    ASSERT_OK_AND_ASSIGN(const std::string mounts, ReadFile(proc + "/mountinfo"));
    EXPECT_EQ(std::count(mounts.begin(), mounts.end(), '\n'), 1) << mounts;
    ContainerPlan plan = MakeContainer(
        "ls -A /proc/1/root/ /proc/1/root/.. 2>/dev/null | grep -v : | wc -w; test -e "
        "/proc/1/root/../proc || echo none");
    plan.pid = NamespaceMode::kPod;
    EXPECT_EQ(Run(plan), "0\nnone\n") << userns;
    ShimTest::TearDown();
  }
}

TEST_F(ShimBirthTest, AStoppedExecHoldsUpNobodyElse) {
  StartPod();
  const ContainerPlan hostile = MakeContainer("exec sleep 1000"),
                      other = MakeContainer("exec sleep 1000");
  const StartedProcess init = Start(hostile);
  (void)Start(other);
  bool stopped = false;
  EXPECT_TRUE(Eventually([&] {
    Tenant tenant(init.pid, Stop);
    const ExecPlan exec = MakeExec(hostile.container_id, "true");
    CancelSource enough;
    std::atomic<bool> done = false;
    absl::Status result;
    std::thread caller([&] {
      result = shim_->Exec(exec, {}, enough.operation()).status();
      done = true;
    });
    EXPECT_TRUE(Eventually([&] { return done || (stopped = AnyStoppedAtBirth()); }));
    if (stopped) {
      EXPECT_EQ(RunExec(MakeExec(other.container_id, "echo here")), "here\n");
      EXPECT_FALSE(done);
    }
    enough.Cancel();
    caller.join();
    if (stopped) {
      EXPECT_THAT(result, StatusIs(absl::StatusCode::kCancelled));
    }
    EXPECT_OK(shim_->KillExec(exec.exec_id));
    (void)tenant.Found();
    return stopped || HasFailure();
  })) << "no exec was stopped before its program";
  // Nothing is left of it, so that the container is as good as before.
  EXPECT_TRUE(Eventually([&] {
    const ExecPlan look = MakeExec(hostile.container_id, "ps | grep -c '[t]rue'; exit 0");
    return RunExec(look) == "0\n";
  }));
}

TEST_F(ShimBirthTest, SignalsOfAStartThatIsUnderWayArrive) {
  StartPod();
  ContainerPlan plan = MakeContainer("trap 'exit 3' TERM; while true; do sleep 0.05; done");
  plan.pid = NamespaceMode::kHost;  // pid 1 of a namespace of its own is sent nothing that it has
                                    // no handler for
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  std::thread starter([&] { EXPECT_OK(shim_->StartContainer(plan.container_id, Operation())); });
  EXPECT_TRUE(Eventually([&] { return shim_->Signal(plan.container_id, SIGTERM).ok(); }));
  starter.join();
  // Before the trap it ends by the signal, after it as it says.
  EXPECT_THAT(observer_.WaitContainer(plan.container_id).exit_code, ::testing::AnyOf(3, 143));
}

TEST_F(ShimBirthTest, NoSignalIsIgnoredForThem) {
  struct {
    void (*handler)(int);
    unsigned long flags, restorer, mask;
  } ignore = {SIG_IGN, 0, 0, 0}, before[2] = {};
  for (const int signal : {32, 33}) {
    ASSERT_EQ(syscall(SYS_rt_sigaction, signal, &ignore, &before[signal - 32], 8), 0);
  }
  StartPool();
  for (const int signal : {32, 33}) {
    ASSERT_EQ(syscall(SYS_rt_sigaction, signal, &before[signal - 32], nullptr, 8), 0);
  }
  StartPod();
  ContainerPlan plan = MakeContainer("");
  const std::vector<std::string> grep = {"grep", "SigIgn",
                                         "/proc/self/status"};  // a shell ignores what it likes
  plan.process.argv = grep;
  EXPECT_EQ(Run(plan), "SigIgn:\t0000000000000000\n");
  plan = MakeContainer("exec sleep 1000");
  (void)Start(plan);
  ExecPlan exec = MakeExec(plan.container_id, "");
  exec.process.argv = grep;
  EXPECT_EQ(RunExec(exec), "SigIgn:\t0000000000000000\n");
}

TEST_F(ShimBirthTest, AReportBringsThePidfds) {
  StartPod();
  const ContainerPlan created = MakeContainer("true"), running = MakeContainer("exec sleep 1000");
  ASSERT_OK(shim_->CreateContainer(created, Operation()));
  (void)Start(running);
  ASSERT_OK_AND_ASSIGN(const auto reports, shim_->Report());
  ASSERT_EQ(reports.size(), 2u);
  for (const ContainerReport& report : reports) {
    EXPECT_EQ(report.pidfd.valid(), report.container_id == running.container_id);
    if (!report.pidfd.valid()) continue;
    EXPECT_EQ(syscall(SYS_pidfd_send_signal, report.pidfd.get(), SIGKILL, nullptr, 0), 0);
  }
  EXPECT_EQ(observer_.WaitContainer(running.container_id).exit_code, 137);
}

}  // namespace
}  // namespace crisp::runtime
