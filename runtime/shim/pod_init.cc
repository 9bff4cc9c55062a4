#include "runtime/shim/pod_init.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "runtime/shim/call_filter.h"
#include "runtime/shim/cgroup.h"
#include "runtime/shim/pod.h"
#include "runtime/shim/process.h"

namespace crisp::shim {
namespace {

constexpr uint32_t kNobody = 65535;
constexpr int kMntDetach = 2;

// Opens the file that sets this process' label. -1 with g_error.
int OpenOwnLabel() {
  const int fd = open("/proc/self/attr/current", O_WRONLY | O_CLOEXEC);
  if (fd < 0) Fail("open the label of the pod's pid 1");
  return fd;
}

// A policy that forbids it (EACCES) loses only that confined containers can look at /proc/1.
bool TakeLabel(int fd, const char* label) {
  const ssize_t size = static_cast<ssize_t>(strlen(label));
  return write(fd, label, static_cast<size_t>(size)) == size || errno == EACCES ||
         Fail("give the pod's pid 1 the label", label);
}

// The SELinux labels of the pod's pid 1. Empty: none.
struct InitLabels {
  const char* process;
  const char* mount;
};

// Its own mount namespace, in which there is nothing but an empty directory: containers that may
// trace it walk through /proc/1/root as if they were it. `label` is the directory's.
bool EnterNothing(const char* label) {
  const Fd fs(SysFsopen("tmpfs"));
  if (!fs.valid() ||
      (label[0] != '\0' && SysFsconfig(fs.get(), FSCONFIG_SET_STRING, "context", label, 0) != 0) ||
      SysFsconfig(fs.get(), FSCONFIG_SET_STRING, "mode", "555", 0) != 0 ||
      SysFsconfig(fs.get(), FSCONFIG_SET_STRING, "size", "4k", 0) != 0 ||
      SysFsconfig(fs.get(), FSCONFIG_SET_STRING, "nr_inodes", "2", 0) != 0 ||
      SysFsconfig(fs.get(), FSCONFIG_SET_FLAG, "ro", nullptr, 0) != 0 ||
      SysFsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return Fail("make the root of the pod's pid 1");
  }
  const Fd mount(SysFsmount(
      fs.get(), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
  const Fd slot(open(kSlotRoot, O_PATH | O_DIRECTORY | O_CLOEXEC));
  return (mount.valid() && slot.valid() && SysMoveMount(mount.get(), slot.get()) == 0 &&
          fchdir(mount.get()) == 0 && SysPivotRoot(".", ".") == 0 &&
          SysUmount(".", kMntDetach) == 0 && chdir("/") == 0) ||
         Fail("enter the root of the pod's pid 1");
}

// The pod's maps may lack this id; without capabilities it matters little whose process it is.
bool DropEverything() {
  (void)syscall(SYS_setgroups, 0, nullptr);
  (void)syscall(SYS_setresgid, kNobody, kNobody, kNobody);
  // The change of the user takes what is needed to do it later.
  if (!DropBounding(0)) return false;
  (void)syscall(SYS_setresuid, kNobody, kNobody, kNobody);
  return (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && DropAllCapabilities() &&
          prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 &&
          prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0) ||
         Fail("drop the privileges of the pod's pid 1");
}

// Lets only the calls through that RunPodInit() makes from there on, and an end.
bool AllowNothingButReaping() {
  constexpr uint32_t kCalls[] = {SYS_wait4,      SYS_rt_sigtimedwait, SYS_restart_syscall,
                                 SYS_exit_group, SYS_rt_sigreturn,    SYS_close_range};
  return AllowOnlyCalls(kCalls, sizeof(kCalls) / sizeof(kCalls[0])) ||
         Fail("install the filter of the pod's pid 1");
}

// Pid 1 of a shared PID namespace: reaps, and can do nothing else.
[[noreturn]] void RunPodInit(const InitLabels& labels, int status) {
  prctl(PR_SET_NAME, "crisp-pause");
  const char* const label = labels.process;
  const Fd own_label(label[0] != '\0' ? OpenOwnLabel() : -1);
  if (label[0] != '\0' && !own_label.valid()) ReportAndExit(status);
  for (int i = 0; i < 3; ++i) (void)dup2(g_pod.null.get(), i);
  if (!EnterNothing(labels.mount) || !DropEverything()) ReportAndExit(status);
  // In the pod's domain it may do no more than wait.
  if (label[0] != '\0' && !TakeLabel(own_label.get(), label)) ReportAndExit(status);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, nullptr);
  if (!AllowNothingButReaping()) ReportAndExit(status);
  // Closes `status` too, which says that all is well.
  SysCloseRange(3, ~0u, 0);
  while (true) {
    int signal;
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    sigwait(&child, &signal);
  }
}

// In a user namespace the PID namespace must be made by somebody inside: a child of the shim in
// between, which gives its own child to the shim.
[[noreturn]] void MakePodInitInUserns(const InitLabels& labels, int status) {
  if (SysSetns(g_pod.userns.get(), CLONE_NEWUSER) != 0 || syscall(SYS_setresgid, 0, 0, 0) != 0 ||
      syscall(SYS_setresuid, 0, 0, 0) != 0) {
    Fail("enter the user namespace");
    ReportAndExit(status);
  }
  GiveBirth(CLONE_NEWPID | CLONE_NEWNS, status);
  RunPodInit(labels, status);
}

// Reads until the child's side is closed. False when an error came.
bool AwaitPodInit(int status) {
  ChildReport report;
  int passed = -1;
  while (ReceiveFd(status, &report, sizeof(report), &passed) == sizeof(report)) {
    if (report.type == ChildMessage::kPid && passed >= 0) {
      g_pod.pod_init.pid = report.pid;
      g_pod.pod_init.pidfd.Reset(passed);
      (void)send(status, &kGo, sizeof(kGo), MSG_NOSIGNAL);
    }
    if (report.type == ChildMessage::kError) {
      g_error = report.error;
      return false;
    }
  }
  return g_pod.pod_init.pid > 0 || Refuse(kInternal, "the pod's pid 1 died");
}

}  // namespace

bool StartPodInit(const PodView& plan) {
  CgroupEntry cgroups;
  if (!cgroups.Open(plan.cgroup_dirs, plan.cgroup_v2)) return false;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return Fail("make a socket pair");
  }
  const Fd ours(ends[0]);
  Fd theirs(ends[1]);
  Process process;
  const uint64_t flags = g_pod.has_userns() ? 0 : CLONE_NEWPID | CLONE_NEWNS;
  const pid_t child = CloneSelf(flags, &process, cgroups.unified());
  if (child == 0) {
    close(ours.get());
    for (int i = 0; i < cgroups.task_count(); ++i) (void)!write(cgroups.tasks()[i], "0", 1);
    const InitLabels labels{.process = plan.init_label.empty() ? "" : plan.init_label.c_str(),
                            .mount = plan.mount_label.empty() ? "" : plan.mount_label.c_str()};
    if (g_pod.has_userns()) MakePodInitInUserns(labels, theirs.get());
    RunPodInit(labels, theirs.get());
  }
  if (child < 0) return Fail("create the pod's PID namespace");
  theirs.Reset();
  if (!g_pod.has_userns()) g_pod.pod_init.TakeFrom(&process);
  const bool good = AwaitPodInit(ours.get());
  if (g_pod.has_userns()) (void)WaitFor(child);
  if (!good) return false;
  g_pod.pod_pid.Reset(OpenNamespace(g_pod.pod_init.pid, "pid"));
  return g_pod.pod_pid.valid();
}

}  // namespace crisp::shim
