#include "runtime/shim/pod_init.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "runtime/shim/cgroup.h"
#include "runtime/shim/pod.h"
#include "runtime/shim/process.h"

namespace crisp::shim {
namespace {

constexpr uint32_t kNobody = 65535;

// Where the label of whoever opens it is set; -1 and g_error.
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

// Pid 1 of a shared PID namespace: reaps, and can do nothing else.
[[noreturn]] void RunPodInit(const char* label, int status) {
  prctl(PR_SET_NAME, "crisp-pause");
  const Fd own_label(label[0] != '\0' ? OpenOwnLabel() : -1);
  if (label[0] != '\0' && !own_label.valid()) ReportAndExit(status);
  if (chroot(kSlotEmpty) != 0 || chdir("/") != 0) ReportAndExit(status);
  for (int i = 0; i < 3; ++i) (void)dup2(g_pod.null.get(), i);
  // The pod's maps may lack this id; without capabilities it matters little whose process it is.
  (void)syscall(SYS_setgroups, 0, nullptr);
  (void)syscall(SYS_setresgid, kNobody, kNobody, kNobody);
  (void)syscall(SYS_setresuid, kNobody, kNobody, kNobody);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !DropAllCapabilities() ||
      prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    Fail("set up the pod's pid 1");
    ReportAndExit(status);
  }
  // Last: in the pod's domain it may do no more than wait.
  if (label[0] != '\0' && !TakeLabel(own_label.get(), label)) ReportAndExit(status);
  // Closes `status` too, which says that all is well.
  SysCloseRange(3, ~0u, 0);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, nullptr);
  while (true) {
    int signal;
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    sigwait(&child, &signal);
  }
}

// In a user namespace the PID namespace must be made by somebody inside: a child of the shim in
// between, which gives its own child to the shim.
[[noreturn]] void MakePodInitInUserns(const char* label, int status) {
  if (SysSetns(g_pod.userns.get(), CLONE_NEWUSER) != 0 || syscall(SYS_setresgid, 0, 0, 0) != 0 ||
      syscall(SYS_setresuid, 0, 0, 0) != 0) {
    Fail("enter the user namespace");
    ReportAndExit(status);
  }
  clone_args args = {.flags = CLONE_NEWPID | CLONE_PARENT, .exit_signal = 0};
  const int pid = SysClone3(&args);
  if (pid == 0) RunPodInit(label, status);
  if (pid < 0) {
    Fail("create the pod's PID namespace");
    ReportAndExit(status);
  }
  ChildReport report = {.type = ChildMessage::kPid, .pid = pid, .error = {}};
  (void)!write(status, &report, sizeof(report));
  _exit(0);
}

// Reads until the child's side is closed. False when an error came.
bool AwaitPodInit(int status) {
  ChildReport report;
  while (read(status, &report, sizeof(report)) == sizeof(report)) {
    if (report.type == ChildMessage::kPid) g_pod.pod_init = report.pid;
    if (report.type == ChildMessage::kError) {
      g_error = report.error;
      return false;
    }
  }
  return g_pod.pod_init > 0 || Refuse(kInternal, "the pod's pid 1 died");
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
  const pid_t child = CloneSelf(g_pod.has_userns() ? 0 : CLONE_NEWPID, nullptr, cgroups.unified());
  if (child == 0) {
    close(ours.get());
    for (int i = 0; i < cgroups.task_count(); ++i) (void)!write(cgroups.tasks()[i], "0", 1);
    const char* label = plan.init_label.empty() ? "" : plan.init_label.c_str();
    if (g_pod.has_userns()) MakePodInitInUserns(label, theirs.get());
    RunPodInit(label, theirs.get());
  }
  if (child < 0) return Fail("create the pod's PID namespace");
  theirs.Reset();
  if (!g_pod.has_userns()) g_pod.pod_init = child;
  const bool good = AwaitPodInit(ours.get());
  if (g_pod.has_userns()) (void)WaitFor(child);
  if (!good) return false;
  g_pod.pod_pid.Reset(OpenNamespace(g_pod.pod_init, "pid"));
  return g_pod.pod_pid.valid();
}

}  // namespace crisp::shim
