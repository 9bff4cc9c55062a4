#include "runtime/shim/sys.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>

#ifdef CRISP_SHIM_FREESTANDING
// No C++ library is linked: these are all of it that the shim uses, and a plain `new` does not
// link.
void operator delete(void* memory) noexcept { free(memory); }
void operator delete(void* memory, size_t) noexcept { free(memory); }
extern "C" void __cxa_pure_virtual() { abort(); }
#endif

namespace crisp::shim {

Error g_error;

bool FailWith(int error_number, const char* step, const char* object) {
  Text<sizeof(g_error.text)> text;
  text.Add(step);
  if (object[0] != '\0') text.Add(" ").Add(object, strnlen(object, 380));
  g_error.code = kInternal;
  g_error.error_number = error_number;
  memcpy(g_error.text, text.data, text.size + 1);
  return false;
}

bool Fail(const char* step, const char* object) { return FailWith(errno, step, object); }

bool Refuse(Code code, const char* step, const char* object) {
  FailWith(0, step, object);
  g_error.code = code;
  return false;
}

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

int OpenInRoot(int root, const char* path, int flags, mode_t mode) {
  return SysOpenat2(root, path, static_cast<uint64_t>(flags), mode, kInRoot);
}

bool WriteFileAt(int dirfd, const char* path, const char* data, size_t size) {
  const Fd fd(openat(dirfd, path, O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return Fail("open", path);
  if (write(fd.get(), data, size) != static_cast<ssize_t>(size)) return Fail("write", path);
  return true;
}

bool WriteFileAt(int dirfd, const char* path, const char* data) {
  return WriteFileAt(dirfd, path, data, strlen(data));
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

void* Fallible::operator new(size_t size) noexcept { return Allocate(size); }
void Fallible::operator delete(void* memory) { free(memory); }

void* Allocate(size_t size) {
  void* const memory = calloc(1, size > 0 ? size : 1);
  if (memory == nullptr) FailWith(ENOMEM, "get memory in the shim");
  return memory;
}

char* Duplicate(const char* data, size_t size) {
  char* const copy = static_cast<char*>(Allocate(size + 1));
  if (copy != nullptr) memcpy(copy, data, size);
  return copy;
}

}  // namespace crisp::shim
