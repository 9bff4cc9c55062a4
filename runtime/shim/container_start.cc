#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "runtime/shim/connection.h"
#include "runtime/shim/container.h"
#include "runtime/shim/exec_tree.h"
#include "runtime/shim/pod.h"
#include "runtime/shim/propagation.h"

namespace crisp::shim {

StartWatch g_start;

namespace {

constexpr uint64_t kStartLimit = 120ull * 1000000000u;

// What to setns(CLONE_NEWPID) to before the clone; -1 in *fd: nothing. `hold` keeps it open.
bool FindPidNamespace(const ContainerView& plan, Fd* hold, int* fd) {
  *fd = -1;
  if (plan.pid == NamespaceMode::kPod) {
    *fd = g_pod.pod_pid.get();
    return *fd >= 0 || Refuse(kFailedPrecondition, "the pod shares no PID namespace");
  }
  if (plan.pid != NamespaceMode::kTarget) return true;
  // Only a child that this process has not reaped yet: its pid means nobody else.
  for (const Container* other = g_containers; other != nullptr; other = other->next) {
    if (other->state != State::kRunning || other->pid != plan.target_pid) continue;
    hold->Reset(SysPidfdOpen(other->pid));
    *fd = hold->get();
    return *fd >= 0 || Fail("open the target container's process");
  }
  return Refuse(kFailedPrecondition, "the target container does not run in this pod");
}

void FailStart(Container* container) {
  container->state = State::kExited;
  container->announced = true;  // by the answer to the request
  container->ending = {.exit_code = 128, .signal = 0, .at = Now(), .log_truncated = false};
  container->pid = 0;
  delete container->prepared;
  container->prepared = nullptr;
  (void)container->io.Drain(true);
  WriteExitRecord(*container);
}

void SettleContainer(Container* container) {
  container->pid = g_start.pid;
  if (!g_start.failed && (g_start.pid == 0 || g_start.dead)) {
    g_start.failed = true;
    Refuse(kInternal, "the container's process died before its program");
    g_start.error = g_error;
  }
  if (!g_start.failed && !container->io.Start()) {
    g_start.failed = true;
    g_start.error = g_error;
  }
  if (g_start.failed) {
    if (g_start.pid > 0 && !container->reaped) {
      (void)kill(g_start.pid, SIGKILL);
      (void)WaitFor(g_start.pid);
    }
    FailStart(container);
    return;
  }
  container->state = State::kRunning;
  container->started_at = Now();
  delete container->prepared;
  container->prepared = nullptr;
}

void SettleExec(Exec* exec) {
  if (!g_start.failed && exec->io != nullptr && !exec->io->Start()) {
    g_start.failed = true;
    g_start.error = g_error;
  }
  if (g_start.failed) {
    if (!exec->reaped) {
      (void)kill(exec->pid, SIGKILL);
      (void)WaitFor(exec->pid);
    }
    exec->ended = exec->announced = true;
    return;
  }
  exec->running = true;
  if (exec->own_cgroup_ns) exec->mark = CgroupNamespaceOf(exec->pid);
  exec->started_at = Now();
}

// The container's process, and this side's end of its status socket. -1: g_error says why.
pid_t CloneChild(const Prepared& prepared, bool gated, Fd* status) {
  const ContainerView& plan = prepared.view;
  CgroupEntry cgroups;
  Fd hold;
  int join_pid = -1, ends[2];
  if (!cgroups.Open(plan.cgroup_dirs, plan.cgroup_v2) ||
      !FindPidNamespace(plan, &hold, &join_pid)) {
    return -1;
  }
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    Fail("make a socket pair");
    return -1;
  }
  status->Reset(ends[0]);
  const Fd theirs(ends[1]);
  const bool direct = !g_pod.has_userns();
  const StartPlan start = {&prepared, &cgroups, ends[1], join_pid, gated};
  if (direct && join_pid >= 0 && SysSetns(join_pid, CLONE_NEWPID) != 0) {
    Fail("enter the PID namespace");
    return -1;
  }
  const pid_t child = CloneSelf(direct ? InitCloneFlags(plan) : 0, nullptr, cgroups.unified());
  if (child == 0) {
    status->Reset();
    RunContainerChild(start);
  }
  if (child < 0) Fail("create the container's process");
  // The child has its own descriptors of them.
  g_pod.sysfs.Reset();
  g_pod.mqueue.Reset();
  if (direct && join_pid >= 0) (void)SysSetns(g_pod.own_pid.get(), CLONE_NEWPID);
  return child;
}

}  // namespace

// What cannot be done ahead, or fails, is left to BeginStart(), which has somebody to tell.
void AssembleAhead(Container* container) {
  if (container == nullptr || container->state != State::kCreated || container->waiting > 0) return;
  const NamespaceMode pid = container->prepared->view.pid;
  if (g_pod.has_userns() || (pid != NamespaceMode::kPrivate && pid != NamespaceMode::kPod) ||
      AnyFollows(container->prepared->view)) {
    return;
  }
  const pid_t child = CloneChild(*container->prepared, true, &container->gate);
  if (child < 0) {
    container->gate.Reset();
  } else {
    container->waiting = child;
  }
}

void EndWaiting(Container* container) {
  container->gate.Reset();
  if (container->waiting > 0 && !container->reaped) {
    (void)kill(container->waiting, SIGKILL);
    (void)WaitFor(container->waiting);
  }
  container->waiting = 0;
}

bool BeginStart(Container* container) {
  if (container->state != State::kCreated) {
    return Refuse(kFailedPrecondition, "not in state created: container", container->id);
  }
  if (!container->io.Watch()) {
    const Error error = g_error;
    EndWaiting(container);
    FailStart(container);
    g_error = error;
    return false;
  }
  pid_t child = container->waiting;
  if (child > 0) {
    // One that has ended has left an error behind, or nothing when it was killed.
    (void)send(container->gate.get(), &kGo, sizeof(kGo), MSG_NOSIGNAL);
    container->waiting = 0;
  } else {
    child = CloneChild(*container->prepared, false, &container->gate);
  }
  if (child < 0) {
    container->gate.Reset();
    FailStart(container);
    return false;
  }
  container->state = State::kStarting;
  g_start.Begin(container->gate.Release());
  g_start.container = container;
  g_start.dead = container->reaped;
  if (!g_pod.has_userns()) g_start.LearnPid(child);
  return true;
}

void StartWatch::Begin(int socket) {
  Adopt(socket);
  container = nullptr;
  exec = nullptr;
  pid = 0;
  pidfd.Reset();
  failed = dead = false;
  early = 0;
  deadline = Now() + kStartLimit;
  if (Want(EPOLLIN)) return;
  Fail("wait for the new process");
  failed = true;
  error = g_error;
  deadline = 0;  // it is ended at once
}

void StartWatch::LearnPid(pid_t child) {
  pid = child;
  pidfd.Reset(SysPidfdOpen(child));
  for (int i = 0; i < early; ++i) {
    if (early_pids[i] == child) (void)BookStarting(child, early_statuses[i]);
  }
}

void StartWatch::TakeTerminal(int master) {
  Io* io = container != nullptr ? &container->io : exec->io;
  if (io == nullptr || !io->terminal) {
    close(master);
    return;
  }
  io->in.Adopt(fcntl(master, F_DUPFD_CLOEXEC, 3));
  io->out.Adopt(master);
}

void StartWatch::Ready(uint32_t) {
  ChildReport report;
  int passed = -1;
  const ssize_t n = ReceiveFd(fd(), &report, sizeof(report), &passed);
  if (n < 0 && errno == ECONNRESET) {
    // The child ended without having read that it may go on. What it said is still there.
    dead = true;
    return;
  }
  if (n != sizeof(report)) {
    Close();
    SettleStart();
    return;
  }
  switch (report.type) {
    case ChildMessage::kError:
      failed = true;
      error = report.error;
      break;
    case ChildMessage::kTerminal:
      if (passed >= 0) TakeTerminal(passed);
      passed = -1;
      break;
    case ChildMessage::kPid:
      LearnPid(report.pid);
      break;
    case ChildMessage::kBind:
    case ChildMessage::kBound:
      if (container != nullptr) ServeBind(fd(), *container->prepared, report, &mount_table);
      break;
  }
  if (passed >= 0) close(passed);
}

void SettleStart() {
  Container* container = g_start.container;
  Exec* exec = g_start.exec;
  if (container != nullptr) {
    SettleContainer(container);
  } else {
    SettleExec(exec);
  }
  AnswerStart();
  // Only now, so that the daemon hears of the start before the exit.
  if (container != nullptr && container->state == State::kRunning && container->reaped) {
    BookExit(container, container->wait_status);
  }
  if (exec != nullptr && exec->running && exec->reaped) BookExecExit(exec, exec->wait_status);
  g_start.container = nullptr;
  g_start.exec = nullptr;
  g_start.mount_table.Reset();
}

}  // namespace crisp::shim
