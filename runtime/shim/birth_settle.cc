#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

#include "runtime/shim/birth.h"
#include "runtime/shim/connection.h"
#include "runtime/shim/exec_tree.h"
#include "runtime/shim/pod.h"
#include "runtime/shim/propagation.h"

namespace crisp::shim {
namespace {

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

// The number is the helper's word; the descriptor must be of a child, so nobody else is ever
// signalled.
bool Birth::Learn(pid_t pid, Fd pidfd) {
  if (!pidfd.valid()) return FailWith(EMFILE, "receive the new process' descriptor");
  if (!unknown() || pid <= 0 || IsKnown(pid) || !IsChild(pidfd.get())) return true;
  process().pid = pid;
  process().pidfd.Reset(pidfd.Release());
  if (killed) {
    (void)process().Signal(SIGKILL);
  } else if (send(fd(), &kGo, sizeof(kGo), MSG_NOSIGNAL) < 0 && errno != EPIPE &&
             errno != ECONNRESET) {
    return Fail("let the new process go on");
  }
  ReapChildren();
  return true;
}

bool Birth::TakeTerminal(Fd master) {
  Io* io = container != nullptr ? &container->io : exec->io;
  if (io == nullptr || !io->terminal) return true;
  if (!master.valid()) return FailWith(EMFILE, "receive the terminal");
  const int copy = fcntl(master.get(), F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return Fail("duplicate the terminal");
  io->in.Adopt(copy);
  io->out.Adopt(master.Release());
  return true;
}

bool Birth::Heed(const ChildReport& report, Fd passed) {
  switch (report.type) {
    case ChildMessage::kError:
      g_error = report.error;
      g_error.text[sizeof(g_error.text) - 1] = '\0';  // a container may have traced whoever sent it
      Refuse();
      return true;
    case ChildMessage::kTerminal:
      return TakeTerminal(static_cast<Fd&&>(passed));
    case ChildMessage::kPid:
      return Learn(report.pid, static_cast<Fd&&>(passed));
    case ChildMessage::kBind:
    case ChildMessage::kBound:
      return container == nullptr || ServeBind(fd(), *container->prepared, report, &mount_table_);
  }
  return true;
}

void Birth::Ready(uint32_t) {
  ChildReport report;
  int passed = -1;
  const ssize_t n = ReceiveFd(fd(), &report, sizeof(report), &passed);
  const int receive_error = n < 0 ? errno : 0;
  Fd descriptor(passed);
  if (IsShortage(receive_error)) Rest();
  if (receive_error == EAGAIN || IsShortage(receive_error)) return;  // it is still there
  if (receive_error == ECONNRESET) {
    // The child ended without having read that it may go on. Its message can still be read.
    dead = true;
  } else if (n != sizeof(report)) {
    Settle(this);
  } else if (!Heed(report, static_cast<Fd&&>(descriptor))) {
    Refuse();
    Settle(this);
  }
}

void Settle(Birth* birth) {
  birth->Close();
  if (!birth->failed && (birth->process().pid == 0 || birth->dead)) {
    crisp::shim::Refuse(kInternal, birth->container != nullptr
                                       ? "the container's process died before its program"
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

int SettleOverdue() {
  while (true) {
    const uint64_t now = Monotonic();
    uint64_t first = ~uint64_t{0};
    Birth* overdue = nullptr;
    for (Birth* birth = g_births; birth != nullptr; birth = birth->next) {
      if (birth->deadline <= now) overdue = birth;
      if (birth->deadline < first) first = birth->deadline;
    }
    if (overdue == nullptr)
      return g_births == nullptr ? -1 : static_cast<int>((first - now) / 1000000) + 1;
    if (overdue->failed) {
      Settle(overdue);
    } else {
      GiveUp(overdue, kDeadlineExceeded, "start: the new process did not reach its program");
    }
  }
}

}  // namespace crisp::shim
