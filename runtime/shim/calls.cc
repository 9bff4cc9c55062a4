// What the shim asks of the kernel and no C library offers as it is wanted, the clocks, and its
// end: in a file of their own, so that a test can put others in their place.

#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>

#include "runtime/shim/sys.h"

namespace crisp::shim {
namespace {

template <class... Args>
int Call(long number, Args... args) {
  return static_cast<int>(syscall(number, args...));
}

}  // namespace

int SysClone3(clone_args* args) { return Call(SYS_clone3, args, sizeof(*args)); }
int SysSetns(int fd, int type) { return Call(SYS_setns, fd, type); }
int SysUnshare(int flags) { return Call(SYS_unshare, flags); }
int SysPidfdOpen(pid_t pid) { return Call(SYS_pidfd_open, pid, 0); }
int SysPidfdSignal(int pidfd, int signal) {
  return Call(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0);
}
int SysOpenat2(int dirfd, const char* path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
  // EAGAIN: a rename anywhere on the machine raced with "..". Whoever renames without end must not
  // hold this up.
  int fd = -1;
  for (int attempt = 0; attempt < 1000; ++attempt) {
    fd = Call(SYS_openat2, dirfd, path, &how, sizeof(how));
    if (fd >= 0 || (errno != EINTR && errno != EAGAIN)) break;
  }
  return fd;
}
int SysOpenTree(int dirfd, const char* path, unsigned flags) {
  return Call(SYS_open_tree, dirfd, path, flags | OPEN_TREE_CLOEXEC);
}
int SysMoveMount(int from, int to) {
  return Call(SYS_move_mount, from, "", to, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}
int SysFsopen(const char* type) { return Call(SYS_fsopen, type, FSOPEN_CLOEXEC); }
int SysFsconfig(int fd, unsigned command, const char* key, const void* value, int aux) {
  return Call(SYS_fsconfig, fd, command, key, value, aux);
}
int SysFsmount(int fd, unsigned attributes) {
  return Call(SYS_fsmount, fd, FSMOUNT_CLOEXEC, attributes);
}
int SysMountSetattr(int fd, unsigned flags, mount_attr* attr) {
  return Call(SYS_mount_setattr, fd, "", flags | AT_EMPTY_PATH, attr, sizeof(*attr));
}
int SysMount(const char* source,
             const char* target,
             const char* type,
             unsigned long flags,
             const void* data) {
  return Call(SYS_mount, source, target, type, flags, data);
}
int SysUmount(const char* target, int flags) { return Call(SYS_umount2, target, flags); }
int SysPivotRoot(const char* new_root, const char* put_old) {
  return Call(SYS_pivot_root, new_root, put_old);
}
int SysCloseRange(unsigned first, unsigned last, unsigned flags) {
  return Call(SYS_close_range, first, last, flags);
}

uint64_t Now() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

uint64_t Monotonic() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

void EndShim() { _exit(0); }

}  // namespace crisp::shim
