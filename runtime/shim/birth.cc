#include "runtime/shim/birth.h"

#include <signal.h>
#include <sys/epoll.h>

namespace crisp::shim {

Birth* g_births = nullptr;

namespace {

constexpr uint64_t kStartLimit = 120ull * 1000000000u;

}  // namespace

void Birth::Begin(Container* for_container, Exec* for_exec, int socket, uint64_t request) {
  container = for_container;
  exec = for_exec;
  request_id = request;
  deadline = Monotonic() + kStartLimit;
  Adopt(socket);
  next = g_births;
  g_births = this;
  if (Want(EPOLLIN)) return;
  Fail("wait for the new process");
  Refuse();
  deadline = 0;  // it is ended at once
}

void Birth::Refuse() {
  failed = true;
  error = g_error;
}

Birth* FindBirth(const Exec* exec) {
  for (Birth* birth = g_births; birth != nullptr; birth = birth->next) {
    if (birth->exec == exec) return birth;
  }
  return nullptr;
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

bool AnyOrphanStart() {
  for (const Birth* birth = g_births; birth != nullptr; birth = birth->next) {
    if (birth->container != nullptr && !birth->asked) return true;
  }
  return false;
}

}  // namespace crisp::shim
