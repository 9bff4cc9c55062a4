#include "runtime/shim/inner_proc.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "runtime/shim/call_filter.h"
#include "runtime/shim/child.h"
#include "runtime/shim/pod.h"
#include "runtime/shim/process.h"

namespace crisp::shim {
namespace {

int g_proc_of = -1;

constexpr unsigned long kPidNamespaceOf = _IO(0xff, 5);  // PIDFD_GET_PID_NAMESPACE
constexpr int kSocket = 3, kNamespace = 4;
constexpr long kProcSuperMagic = 0x9fa0;

struct OpenerReport {
  int failed;
  Error error;
};

[[noreturn]] void Tell(bool good, int fd) {
  const OpenerReport report = {.failed = good ? 0 : 1, .error = g_error};
  (void)SendFd(kSocket, &report, sizeof(report), fd);
  _exit(good ? 0 : 1);
}

// The processes inside may see this for a moment: an empty root, one descriptor, one capability. A
// tracer has the capability as well, so all that can be done with it is to open a file system and
// to hand that over.
bool BecomeHarmless(int socket) {
  // A user namespace's containers cannot trace what has the host's memory.
  if (!g_pod.has_userns() &&
      (SysSetns(g_pod.blank.get(), CLONE_NEWNS) != 0 || SysUnshare(CLONE_NEWNS) != 0)) {
    return Fail("enter an empty root");
  }
  const Fd one(fcntl(socket, F_DUPFD_CLOEXEC, 16)), other(fcntl(g_proc_of, F_DUPFD_CLOEXEC, 16));
  if (!one.valid() || !other.valid() || dup2(one.get(), kSocket) < 0 ||
      dup2(other.get(), kNamespace) < 0 || SysCloseRange(kNamespace + 1, ~0u, 0) != 0 ||
      SysCloseRange(0, kSocket - 1, 0) != 0) {
    return Fail("close descriptors");
  }
  // To enter by a process' descriptor takes the right to trace it. Only the next child will be
  // inside.
  if (SysSetns(kNamespace, CLONE_NEWPID) != 0) return Fail("enter the PID namespace");
  close(kNamespace);
  constexpr uint32_t kCalls[] = {SYS_clone3,          SYS_wait4,      SYS_fsopen, SYS_sendmsg,
                                 SYS_restart_syscall, SYS_exit_group, SYS_close};
  return DropToCapability(CAP_SYS_ADMIN) &&
         (AllowOnlyCalls(kCalls, sizeof(kCalls) / sizeof(kCalls[0])) ||
          Fail("install the filter of what opens a procfs"));
}

// Opens it from inside: a child of this process does, for which nothing of the outside is left.
[[noreturn]] void RunOpener(int socket) {
  if (!BecomeHarmless(socket)) Tell(false, -1);
  const pid_t inside = CloneSelf(0, nullptr, -1);
  if (inside == 0) {
    const int fs = SysFsopen("proc");
    Tell(fs >= 0 || Fail("open a procfs inside the PID namespace"), fs);
  }
  if (inside < 0) Tell(Fail("create a process in the PID namespace"), -1);
  (void)WaitFor(inside);
  _exit(0);
}

int OpenFromInside() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    Fail("make a socket pair");
    return -1;
  }
  const Fd ours(ends[0]);
  Fd theirs(ends[1]);
  const pid_t child = CloneSelf(0, nullptr, -1);
  if (child == 0) RunOpener(theirs.get());
  if (child < 0) {
    Fail("create a process that opens a procfs");
    return -1;
  }
  theirs.Reset();
  OpenerReport report;
  int fs = -1;
  const ssize_t n = ReceiveFd(ours.get(), &report, sizeof(report), &fs);
  (void)WaitFor(child);
  if (n != sizeof(report)) {
    Refuse(kInternal, "open a procfs inside the PID namespace: the process died");
  } else if (report.failed != 0) {
    g_error = report.error;
    g_error.text[sizeof(g_error.text) - 1] = '\0';
  }
  return fs;
}

}  // namespace

void UseProcOf(int fd) { g_proc_of = fd; }

bool IsProc(int mount) {
  struct statfs info;
  if (fstatfs(mount, &info) != 0) return Fail("look at the mounted procfs");
  return info.f_type == kProcSuperMagic ||
         Refuse(kInternal, "what came from the PID namespace is no procfs");
}

int OpenProc() {
  Fd fs(SysFsopen("proc"));
  if (!fs.valid()) Fail("open file system proc");
  if (!fs.valid() || g_proc_of < 0) return fs.Release();
  // Linux 6.17, and a descriptor of the namespace itself.
  const Fd of_process(ioctl(g_proc_of, kPidNamespaceOf, 0));
  const int name_space = of_process.valid() ? of_process.get() : g_proc_of;
  if (SysFsconfig(fs.get(), FSCONFIG_SET_FD, "pidns", nullptr, name_space) == 0)
    return fs.Release();
  return OpenFromInside();
}

}  // namespace crisp::shim
