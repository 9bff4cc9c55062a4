#include "runtime/shim/birth.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "runtime/shim/connection.h"
#include "runtime/shim/exec_tree.h"
#include "runtime/shim/pod.h"
#include "runtime/shim/propagation.h"

namespace crisp::shim {

Birth* g_births = nullptr;

namespace {

constexpr uint64_t kStartLimit = 120ull * 1000000000u;

// A process whose number has not come does not go on without the shim's leave.
void KillBoth(Birth* birth) {
  birth->helper.Kill();
  birth->process().Kill();
}

void SettleContainer(Birth* birth) {
  Container* container = birth->container;
  if (!birth->failed && !container->io.Start()) birth->Refuse();
  if (birth->failed) {
    KillBoth(birth);
    FailStart(container);
    return;
  }
  container->state = State::kRunning;
  container->started_at = Now();
  delete container->prepared;
  container->prepared = nullptr;
}

void SettleExec(Birth* birth) {
  Exec* exec = birth->exec;
  if (!birth->failed && exec->io != nullptr && !exec->io->Start()) birth->Refuse();
  if (birth->failed) {
    KillBoth(birth);
    exec->ended = exec->announced = true;
    return;
  }
  exec->running = true;
  // Not the container's own, where the helper could not leave that one.
  if (exec->own_cgroup_ns && exec->process.alive() && exec->container != nullptr &&
      CgroupNamespaceOf(exec->process.pid) != CgroupNamespaceOf(exec->container->process.pid)) {
    exec->cgroup_namespace.Reset(OpenNamespace(exec->process.pid, "cgroup"));
  }
  exec->started_at = Now();
}

void Unlink(Birth* birth) {
  for (Birth** link = &g_births; *link != nullptr; link = &(*link)->next) {
    if (*link != birth) continue;
    *link = birth->next;
    return;
  }
}

// The daemon has heard of the start by now.
void BookWhatCameMeanwhile(Container* container) {
  if (container->state != State::kRunning) return;
  if (container->signal_at_start != 0) (void)container->process.Signal(container->signal_at_start);
  container->signal_at_start = 0;
  if (container->process.reaped) BookExit(container);
}

}  // namespace

Birth* Birth::Begin(Container* container, Exec* exec, int socket, uint64_t request_id) {
  Birth* birth = new Birth;
  birth->container = container;
  birth->exec = exec;
  birth->request_id = request_id;
  birth->deadline = Now() + kStartLimit;
  birth->Adopt(socket);
  birth->next = g_births;
  g_births = birth;
  if (!birth->Want(EPOLLIN)) {
    Fail("wait for the new process");
    birth->Refuse();
    birth->deadline = 0;  // it is ended at once
  }
  return birth;
}

void Birth::Refuse() {
  failed = true;
  error = g_error;
}

// The number is the helper's word; the descriptor must be of a child, so nobody else is ever signalled.
void Birth::Learn(pid_t pid, int pidfd) {
  Fd mine(pidfd);
  if (!unknown() || pid <= 0 || IsKnown(pid) || !mine.valid() || !IsChild(mine.get())) return;
  process().pid = pid;
  process().pidfd.Reset(mine.Release());
  if (killed) {
    (void)process().Signal(SIGKILL);
  } else {
    (void)send(fd(), &kGo, sizeof(kGo), MSG_NOSIGNAL);
  }
  ReapChildren();
}

void Birth::TakeTerminal(int master) {
  Io* io = container != nullptr ? &container->io : exec->io;
  if (io == nullptr || !io->terminal) {
    close(master);
    return;
  }
  io->in.Adopt(fcntl(master, F_DUPFD_CLOEXEC, 3));
  io->out.Adopt(master);
}

void Birth::Ready(uint32_t) {
  ChildReport report;
  int passed = -1;
  const ssize_t n = ReceiveFd(fd(), &report, sizeof(report), &passed);
  if (n < 0 && errno == ECONNRESET) {
    // The child ended without having read that it may go on. What it said is still there.
    dead = true;
    return;
  }
  if (n != sizeof(report)) {
    if (passed >= 0) close(passed);
    Settle(this);
    return;
  }
  switch (report.type) {
    case ChildMessage::kError:
      failed = true;
      error = report.error;
      error.text[sizeof(error.text) - 1] = '\0';  // a container may have traced whoever sent it
      break;
    case ChildMessage::kTerminal:
      if (passed >= 0) TakeTerminal(passed);
      passed = -1;
      break;
    case ChildMessage::kPid:
      Learn(report.pid, passed);
      passed = -1;
      break;
    case ChildMessage::kBind:
    case ChildMessage::kBound:
      if (container != nullptr) ServeBind(fd(), *container->prepared, report, &mount_table_);
      break;
  }
  if (passed >= 0) close(passed);
}

Birth* FindBirth(const Exec* exec) {
  for (Birth* birth = g_births; birth != nullptr; birth = birth->next) {
    if (birth->exec == exec) return birth;
  }
  return nullptr;
}

void Settle(Birth* birth) {
  birth->Close();
  if (!birth->failed && (birth->process().pid == 0 || birth->dead)) {
    crisp::shim::Refuse(kInternal, birth->container != nullptr ? "the container's process died before its program"
                                                  : "the exec's process died before its program");
    birth->failed = true;
    birth->error = g_error;
  }
  if (birth->container != nullptr) {
    SettleContainer(birth);
  } else {
    SettleExec(birth);
  }
  AnswerStart(*birth);
  Unlink(birth);
  if (birth->container != nullptr) BookWhatCameMeanwhile(birth->container);
  Exec* exec = birth->exec;
  if (exec != nullptr && exec->running && exec->process.reaped) BookExecExit(exec);
  delete birth;
  AnswerReport();
  // Nobody may have known one of them while this one was on its way.
  ReapChildren();
}

void GiveUp(Birth* birth, Code code, const char* why) {
  birth->failed = true;
  Refuse(code, why);
  birth->error = g_error;
  Settle(birth);
}

bool SignalAtBirth(Container* container, int signal) {
  if (signal != SIGKILL) {
    container->signal_at_start = signal;
    return true;
  }
  if (container->process.pid > 0) return container->process.Signal(SIGKILL);
  for (Birth* birth = g_births; birth != nullptr; birth = birth->next) {
    if (birth->container != container) continue;
    birth->killed = true;
    return birth->helper.Signal(SIGKILL);
  }
  return true;
}

int SettleOverdue() {
  while (true) {
    const uint64_t now = Now();
    uint64_t first = ~uint64_t{0};
    Birth* overdue = nullptr;
    for (Birth* birth = g_births; birth != nullptr; birth = birth->next) {
      if (birth->deadline <= now) overdue = birth;
      if (birth->deadline < first) first = birth->deadline;
    }
    if (overdue == nullptr) return g_births == nullptr ? -1 : static_cast<int>((first - now) / 1000000) + 1;
    if (overdue->failed) {
      Settle(overdue);
    } else {
      GiveUp(overdue, kDeadlineExceeded, "start: the new process did not reach its program");
    }
  }
}

bool AnyOrphanStart() {
  for (const Birth* birth = g_births; birth != nullptr; birth = birth->next) {
    if (birth->container != nullptr && !birth->asked) return true;
  }
  return false;
}

}  // namespace crisp::shim
