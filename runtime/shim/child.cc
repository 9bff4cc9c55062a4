#include "runtime/shim/child.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace crisp::shim {
namespace {

constexpr int kByPidfd = 3;     // P_PIDFD, which old headers lack
constexpr int kKillWait = 200;  // milliseconds

// waitid(2) and back to what waitpid(2) would have said. The pid; 0: not ended; -1 and errno.
pid_t Wait(int type, int id, int options, int* wait_status) {
  siginfo_t info = {};
  long result;
  do {
    result = syscall(SYS_waitid, type, id, &info, options | WEXITED | WNOHANG | __WALL, nullptr);
  } while (result < 0 && errno == EINTR);
  if (result < 0) return -1;
  *wait_status = info.si_code == CLD_EXITED
                     ? (info.si_status & 0xff) << 8
                     : info.si_status | (info.si_code == CLD_DUMPED ? 0x80 : 0);
  return info.si_pid;
}

}  // namespace

void Process::TakeFrom(Process* other) {
  pid = other->pid;
  pidfd.Reset(other->pidfd.Release());
  reaped = other->reaped;
  wait_status = other->wait_status;
  *other = Process();
}

bool Process::Signal(int signal) const {
  if (!alive() || SysPidfdSignal(pidfd.get(), signal) == 0 || errno == ESRCH) return true;
  Text<24> number;
  number.AddNumber(pid);
  return Fail("signal process", number.data);
}

bool Process::Reap() {
  if (reaped || pid == 0) return true;
  int status = 0;
  const pid_t ended = Wait(kByPidfd, pidfd.get(), 0, &status);
  if (ended == 0) return false;
  // If somebody else has reaped it, all that can be said is that it has ended.
  wait_status = ended > 0 ? status : kLostStatus;
  return reaped = true;
}

void Process::Kill() {
  if (!alive()) return;
  (void)Signal(SIGKILL);
  pollfd end = {.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  (void)poll(&end, 1, kKillWait);
  (void)Reap();
}

bool IsChild(int pidfd) {
  int status;
  return Wait(kByPidfd, pidfd, WNOWAIT, &status) >= 0;
}

pid_t CloneSelf(uint64_t flags, Process* child, int cgroup_fd) {
  int pidfd = -1;
  clone_args args = {.flags = flags, .exit_signal = SIGCHLD};
  if (child != nullptr) {
    args.flags |= CLONE_PIDFD;
    args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  }
  if (cgroup_fd >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(cgroup_fd);
  }
  const pid_t pid = SysClone3(&args);
  if (pid > 0 && child != nullptr) {
    *child = Process();
    child->pid = pid;
    child->pidfd.Reset(pidfd);
  }
  return pid;
}

int WaitFor(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR) {
  }
  return status;
}

pid_t PeekEnded() {
  int status;
  const pid_t pid = Wait(P_ALL, 0, WNOWAIT, &status);
  return pid > 0 ? pid : 0;
}

void ReapStranger(pid_t pid) {
  int status;
  (void)Wait(P_PID, pid, 0, &status);
}

}  // namespace crisp::shim
