#include "runtime/client/testing/syscall_injector.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace crisp::runtime {
namespace {

// A signal that means nothing to the process, so that it stops for its tracer once more.
constexpr int kWake = SIGWINCH;

#if defined(__x86_64__)
constexpr bool kSupported = true;

void SetRegister(pid_t pid, size_t offset, long value) {
  (void)ptrace(PTRACE_POKEUSER, pid, offset, value);
}
void SkipCall(pid_t pid) { SetRegister(pid, offsetof(user_regs_struct, orig_rax), -1); }
void SetResult(pid_t pid, long result) {
  SetRegister(pid, offsetof(user_regs_struct, rax), result);
}
#else
constexpr bool kSupported = false;
void SkipCall(pid_t) {}
void SetResult(pid_t, long) {}
#endif

}  // namespace

SyscallInjector::SyscallInjector(pid_t pid, InjectedFault fault)
    : pid_(pid), fault_(std::move(fault)) {
  if (!kSupported) return;
  tracer_ = std::thread([this] { Trace(); });
  ready_.wait(false);
}

SyscallInjector::~SyscallInjector() {
  if (!tracer_.joinable()) return;
  ending_ = true;
  (void)kill(pid_, kWake);
  tracer_.join();
}

void SyscallInjector::Trace() {
  int status = 0;
  works_ = ptrace(PTRACE_SEIZE, pid_, 0L, long{PTRACE_O_TRACESYSGOOD}) == 0 &&
           ptrace(PTRACE_INTERRUPT, pid_, 0L, 0L) == 0 && waitpid(pid_, &status, __WALL) == pid_ &&
           WIFSTOPPED(status);
  if (works_) works_ = ptrace(PTRACE_SYSCALL, pid_, 0L, 0L) == 0;
  ready_ = true;
  ready_.notify_one();
  while (works_ && waitpid(pid_, &status, __WALL) == pid_ && WIFSTOPPED(status)) {
    const long signal = Handle(status);
    if (Done() && !failing_) {
      (void)ptrace(PTRACE_DETACH, pid_, 0L, signal);
      return;
    }
    (void)ptrace(PTRACE_SYSCALL, pid_, 0L, signal);
  }
}

int SyscallInjector::Handle(int status) {
  const int signal = WSTOPSIG(status);
  if (signal == (SIGTRAP | 0x80)) {
    AtSyscall();
    return 0;
  }
  const bool of_ptrace = (status >> 16) != 0 || signal == kWake;
  return of_ptrace ? 0 : signal;
}

void SyscallInjector::AtSyscall() {
  __ptrace_syscall_info info = {};
  if (ptrace(PTRACE_GET_SYSCALL_INFO, pid_, sizeof(info), &info) <= 0) return;
  if (info.op == PTRACE_SYSCALL_INFO_EXIT && failing_) {
    SetResult(pid_, -fault_.error);
    failing_ = false;
    ++failed_;
  }
  if (info.op != PTRACE_SYSCALL_INFO_ENTRY) return;
  const long number = static_cast<long>(info.entry.nr);
  if (fault_.watch) {
    unsigned long arguments[6];
    std::copy(std::begin(info.entry.args), std::end(info.entry.args), arguments);
    fault_.watch(number, arguments);
  }
  if (failed_ >= fault_.times) return;
  if (std::find(fault_.calls.begin(), fault_.calls.end(), number) == fault_.calls.end()) return;
  if (fault_.argument >= 0 && info.entry.args[fault_.argument] != fault_.value) return;
  if (++seen_ < fault_.nth) return;
  SkipCall(pid_);
  failing_ = true;
}

}  // namespace crisp::runtime
