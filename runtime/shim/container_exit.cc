#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "runtime/shim/connection.h"
#include "runtime/shim/container.h"
#include "runtime/shim/pod.h"

namespace crisp::shim {
namespace {

Ending EndingOf(int wait_status) {
  Ending ending;
  ending.signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
  ending.exit_code = ending.signal != 0 ? 128 + ending.signal : WEXITSTATUS(wait_status);
  ending.at = Now();
  return ending;
}

constexpr uint64_t kSettleLimit = 10ull * 1000000000u;

// Whoever hears of an exit finds the log complete, unless its disk does not take it.
void Settle(Container* container) {
  Io& io = container->io;
  const bool late = LogsStuck(false) || Now() >= container->settle_by;
  if (!container->drained) {
    if (!io.Drain(late)) {
      AwaitLogs();
      return;
    }
    container->drained = true;
    io.log.Sync();
  }
  if (!io.log.settled() && !late) {
    AwaitLogs();
    return;
  }
  container->settling = false;
  container->ending.log_truncated = io.log.truncated();
  WriteExitRecord(*container);
  AnnounceExits();
}

}  // namespace

void WriteExitRecord(const Container& container) {
  if (container.exit_record[0] == '\0') return;
  Text<160> text;
  const Ending& ending = container.ending;
  text.Add("crisp-exit 1 ").AddNumber(ending.exit_code).Add(" ").AddNumber(ending.signal).Add(" ");
  text.AddNumber(static_cast<int64_t>(ending.at)).Add(" ").AddNumber(ending.log_truncated ? 1 : 0);
  text.Add("\n");
  Path temporary;
  temporary.Add(container.exit_record).Add(".new");
  const HostScope host;
  if (!host.entered()) return;
  {
    const Fd fd(open(temporary.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd.valid() || write(fd.get(), text.data, text.size) != static_cast<ssize_t>(text.size)) {
      return;  // the daemon still learns of it from Report or the event
    }
  }
  (void)rename(temporary.data, container.exit_record);
}

void BookExit(Container* container, int wait_status) {
  container->ending = EndingOf(wait_status);
  container->state = State::kExited;
  container->pid = 0;
  container->settling = true;
  container->settle_by = Now() + kSettleLimit;
  Settle(container);
}

void ServeLogs() {
  if (TakeCutReaders()) {
    for (Container* c = g_containers; c != nullptr; c = c->next) c->io.Sweep();
  }
  if (!LogsMoved()) return;
  for (Container* c = g_containers; c != nullptr; c = c->next) {
    c->io.Resume();
    if (c->settling) Settle(c);
  }
}

void BookExecExit(Exec* exec, int wait_status) {
  exec->ending = EndingOf(wait_status);
  exec->ended = true;
  if (exec->io != nullptr) (void)exec->io->Drain(true);
  AnnounceExits();
}

// Whether the process being started is this one, dead before its start was settled.
bool BookStarting(pid_t pid, int wait_status) {
  if (g_start.fd() < 0) return false;
  if (g_start.pid == 0) {
    if (g_start.early < StartWatch::kMostEarly) {
      g_start.early_pids[g_start.early] = pid;
      g_start.early_statuses[g_start.early++] = wait_status;
    }
    return true;
  }
  if (g_start.pid != pid) return false;
  if (g_start.container != nullptr) {
    g_start.container->reaped = true;
    g_start.container->wait_status = wait_status;
  } else {
    g_start.exec->reaped = true;
    g_start.exec->wait_status = wait_status;
  }
  return true;
}

void ReapChildren() {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
    if (BookStarting(pid, status)) continue;
    for (Container* container = g_containers; container != nullptr; container = container->next) {
      if (container->state == State::kRunning && container->pid == pid) {
        BookExit(container, status);
      }
      if (container->state == State::kCreated && container->waiting == pid) {
        container->reaped = true;
        container->wait_status = status;
      }
    }
    for (Exec* exec = g_execs; exec != nullptr; exec = exec->next) {
      if (exec->running && !exec->ended && exec->pid == pid) BookExecExit(exec, status);
    }
  }
}

}  // namespace crisp::shim
