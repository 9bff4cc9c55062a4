#ifndef CRISP_BASE_TESTING_TEST_THREADS_H_
#define CRISP_BASE_TESTING_TEST_THREADS_H_

#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <iterator>
#include <thread>

#include "absl/functional/function_ref.h"

namespace crisp {

// From now on the calling thread, and processes that it forks, get EAGAIN for every new thread, as
// at the end of a pids cgroup; forks work. clone3 does not exist then, because a filter cannot see
// its flags, and libc takes clone. True if the filter was loaded.
inline bool RefuseNewThreads() {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 2, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
  };
  const sock_fprog program = {std::size(code), code};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// Runs `body` where no thread can be made. The rest of the program goes on as before.
inline bool WithoutNewThreads(absl::FunctionRef<void()> body) {
  bool refused = false;
  std::thread([&] {
    refused = RefuseNewThreads();
    if (refused) body();
  }).join();
  return refused;
}

}  // namespace crisp

#endif  // CRISP_BASE_TESTING_TEST_THREADS_H_
