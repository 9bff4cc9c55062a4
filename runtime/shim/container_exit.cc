#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "runtime/shim/birth.h"
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

// Who is told of an exit finds the log complete, unless its disk does not take it.
void Settle(Container* container) {
  Io& io = container->io;
  const bool late = LogsStuck(false) || Monotonic() >= container->settle_by;
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
  WriteExitRecord(container);
  AnnounceExits();
}

bool ReplaceFile(int directory, const char* name, const char* data, size_t size) {
  Text<300> temporary;
  temporary.Add(name).Add(".new");
  const Fd fd(openat(directory, temporary.data,
                     O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  return fd.valid() && write(fd.get(), data, size) == static_cast<ssize_t>(size) &&
         renameat(directory, temporary.data, directory, name) == 0;
}

}  // namespace

void WriteExitRecord(Container* container) {
  if (container->exit_name[0] == '\0') return;
  Text<160> text;
  const Ending& ending = container->ending;
  text.Add("crisp-exit 1 ").AddNumber(ending.exit_code).Add(" ").AddNumber(ending.signal).Add(" ");
  text.AddNumber(static_cast<int64_t>(ending.at)).Add(" ").AddNumber(ending.log_truncated ? 1 : 0);
  text.Add("\n");
  container->unrecorded =
      !ReplaceFile(container->exit_directory.get(), container->exit_name, text.data, text.size);
  if (container->unrecorded) AwaitLogs();  // which looks here as well
}

void BookExit(Container* container) {
  container->ending = EndingOf(container->process.wait_status);
  container->state = State::kExited;
  container->settling = true;
  container->settle_by = Monotonic() + kSettleLimit;
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
    if (c->unrecorded) WriteExitRecord(c);
  }
  for (Exec* e = g_execs; e != nullptr; e = e->next) {
    if (e->io != nullptr) e->io->Resume();
  }
}

void BookExecExit(Exec* exec) {
  exec->ending = EndingOf(exec->process.wait_status);
  exec->ended = true;
  if (exec->io != nullptr) (void)exec->io->Drain(true);
  AnnounceExits();
}

void FailStart(Container* container) {
  container->state = State::kExited;
  container->announced = true;  // by the answer to the request
  container->ending = {.exit_code = 128, .signal = 0, .at = Now(), .log_truncated = false};
  delete container->prepared;
  container->prepared = nullptr;
  (void)container->io.Drain(true);
  WriteExitRecord(container);
}

namespace {

// A child by its names: what it is and whose.
struct Known {
  Process* process = nullptr;
  Container* container = nullptr;  // whose `process` it is
  Exec* exec = nullptr;            // likewise
};

// Calls `use(known)` for every child that has a name and is not reaped, until it says false.
template <class Use>
void ForEachChild(const Use& use) {
  for (Container* c = g_containers; c != nullptr; c = c->next) {
    if (c->process.alive() && !use(Known{&c->process, c, nullptr})) return;
    if (c->waiting.alive() && !use(Known{&c->waiting, nullptr, nullptr})) return;
  }
  for (Exec* e = g_execs; e != nullptr; e = e->next) {
    if (e->process.alive() && !use(Known{&e->process, nullptr, e})) return;
  }
  for (Birth* birth = g_births; birth != nullptr; birth = birth->next) {
    if (birth->helper.alive() && !use(Known{&birth->helper, nullptr, nullptr})) return;
  }
  if (g_pod.pod_init.alive()) (void)use(Known{&g_pod.pod_init, nullptr, nullptr});
}

Known Find(pid_t pid) {
  Known found;
  ForEachChild([&](const Known& known) {
    if (known.process->pid == pid) found = known;
    return found.process == nullptr;
  });
  return found;
}

bool AnyUnknown() {
  for (const Birth* birth = g_births; birth != nullptr; birth = birth->next) {
    if (birth->unknown()) return true;
  }
  return false;
}

// Of those being born, Settle() does it.
void Book(const Known& known) {
  if (known.container != nullptr && known.container->state == State::kRunning)
    BookExit(known.container);
  if (known.exec != nullptr && known.exec->running && !known.exec->ended) BookExecExit(known.exec);
}

// Those with a name, each by its descriptor.
void ReapKnown() {
  ForEachChild([](const Known& known) {
    if (known.process->Reap()) Book(known);
    return true;
  });
}

}  // namespace

bool IsKnown(pid_t pid) { return Find(pid).process != nullptr; }

void ReapChildren() {
  while (const pid_t pid = PeekEnded()) {
    const Known known = Find(pid);
    if (known.process != nullptr) {
      if (!known.process->Reap()) return;
      Book(known);
    } else if (AnyUnknown()) {
      return ReapKnown();
    } else {
      ReapStranger(pid);
    }
  }
}

void BookTheDead() {
  for (Container* c = g_containers; c != nullptr; c = c->next) {
    if (c->state == State::kRunning && c->process.Reap()) BookExit(c);
  }
}

bool SignalContainer(const Str& id, int signal) {
  Container* container = FindContainer(id);
  if (container == nullptr) return Refuse(kNotFound, "no container", id.c_str());
  switch (container->state) {
    case State::kExited:
      return true;
    case State::kCreated:
      return Refuse(kFailedPrecondition, "not running: container", id.c_str());
    case State::kStarting:
      return SignalAtBirth(container, signal);
    case State::kRunning:
      if (container->process.Signal(signal)) break;
      return Fail("signal container", id.c_str());
  }
  BookTheDead();
  return true;
}

}  // namespace crisp::shim
