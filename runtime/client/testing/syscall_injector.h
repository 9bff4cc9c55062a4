#ifndef CRISP_RUNTIME_CLIENT_TESTING_SYSCALL_INJECTOR_H_
#define CRISP_RUNTIME_CLIENT_TESTING_SYSCALL_INJECTOR_H_

// For tests: makes single system calls of another process fail, by ptrace(2).

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

namespace crisp::runtime {

struct InjectedFault {
  std::vector<long> calls;  // of these
  int nth = 1;              // the n-th from now on
  int times = 1;            // and so many from there on
  int error = 0;            // fail with this
  // Only those whose argument number `argument` has this value; -1: whatever they have.
  int argument = -1;
  unsigned long value = 0;
  // Told of every call of the process, in another thread.
  std::function<void(long number, const unsigned long* arguments)> watch;
};

// In force while it lives, for one process without its children. The call does not happen. A
// process that nobody watches is let go once its call has failed: whoever is traced is slow.
class SyscallInjector {
 public:
  SyscallInjector(pid_t pid, InjectedFault fault);
  ~SyscallInjector();
  SyscallInjector(const SyscallInjector&) = delete;
  SyscallInjector& operator=(const SyscallInjector&) = delete;

  // True if the process could be traced.
  bool works() const { return works_; }
  bool fired() const { return failed_ > 0; }
  int failed() const { return failed_; }  // how many so far

 private:
  void Trace();
  bool Done() const { return ending_ || (failed_ >= fault_.times && fault_.watch == nullptr); }
  // What to go on with after a stop: a signal, or 0.
  int Handle(int status);
  void AtSyscall();

  const pid_t pid_;
  const InjectedFault fault_;
  std::atomic<bool> ready_{false}, works_{false}, ending_{false};
  std::atomic<int> failed_{0};
  int seen_ = 0;
  bool failing_ = false;  // between the entry and the exit of the call
  std::thread tracer_;    // only the thread that has attached may ask
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CLIENT_TESTING_SYSCALL_INJECTOR_H_
