#include "runtime/shim/testing/fake_kernel.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>

#include "runtime/shim/birth.h"
#include "runtime/shim/connection.h"
#include "runtime/shim/container.h"
#include "runtime/shim/loop.h"
#include "runtime/shim/sys.h"

namespace crisp::shim {

FakeKernel g_kernel;

namespace {

constexpr pid_t kNobody = 5000000;  // beyond the kernel's last one

// One that says that it has ended.
int EndedPidfd() { return eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK); }

// A mount in which nothing can be made.
int EmptyMount() { return open("/dev/null", O_PATH | O_CLOEXEC); }

uint64_t Clock(clockid_t which) {
  if (!g_kernel.clock) return g_kernel.now += g_kernel.step;
  timespec now;
  clock_gettime(which, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

int SysClone3(clone_args* args) {
  if (g_kernel.clone_error == 0 && !g_kernel.log_writers && (args->flags & CLONE_PARENT) != 0) {
    errno = EAGAIN;
    return -1;
  }
  if (g_kernel.clone_error != 0) {
    errno = g_kernel.clone_error;
    return -1;
  }
  if ((args->flags & CLONE_PIDFD) != 0) *reinterpret_cast<int*>(args->pidfd) = EndedPidfd();
  return kNobody + ++g_kernel.clones;
}
int SysSetns(int, int) { return 0; }
int SysUnshare(int) { return 0; }
int SysPidfdOpen(pid_t pid) {
  return g_kernel.processes ? static_cast<int>(syscall(SYS_pidfd_open, pid, 0)) : EndedPidfd();
}
int SysPidfdSignal(int pidfd, int signal) {
  if (!g_kernel.processes) return 0;
  return static_cast<int>(syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0));
}
int SysOpenat2(int dirfd, const char* path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
  return static_cast<int>(syscall(SYS_openat2, dirfd, path, &how, sizeof(how)));
}
int SysOpenTree(int, const char*, unsigned) { return EmptyMount(); }
int SysMoveMount(int, int) { return 0; }
int SysFsopen(const char*) { return EmptyMount(); }
int SysFsconfig(int, unsigned, const char*, const void*, int) { return 0; }
int SysFsmount(int, unsigned) { return EmptyMount(); }
int SysMountSetattr(int, unsigned, mount_attr*) { return 0; }
int SysMount(const char*, const char*, const char*, unsigned long, const void*) { return 0; }
int SysUmount(const char*, int) { return 0; }
int SysPivotRoot(const char*, const char*) { return 0; }
int SysCloseRange(unsigned, unsigned, unsigned) { return 0; }

uint64_t Now() { return Clock(CLOCK_REALTIME); }
uint64_t Monotonic() { return Clock(CLOCK_MONOTONIC); }

void EndShim() {
  if (g_kernel.end == nullptr) abort();
  longjmp(*g_kernel.end, 1);
}

void TakeTurn() {
  (void)SettleOverdue();
  RunOnce(0);
  ServeLogs();
  ServeKills();
  AnnounceExits();
  SweepExecs(Connected());
}

void ForgetEverything() {
  DropConnection();
  while (g_births != nullptr) GiveUp(g_births, kUnavailable, "it is forgotten");
  while (g_execs != nullptr) {
    const Owner<Exec> exec(g_execs);
    g_execs = exec->next;
  }
  while (g_containers != nullptr) {
    const Owner<Container> container(g_containers);
    g_containers = container->next;
  }
}

}  // namespace crisp::shim
