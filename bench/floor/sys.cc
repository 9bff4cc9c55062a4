#include "bench/floor/sys.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace crisp::bench {
namespace {

// A borrowing child shares these with its parent, which tells.
bool g_in_child = false;
const char* g_child_failed = nullptr;
int g_child_errno = 0;

// A system call whose two returns share one stack must not return through a C function.
inline __attribute__((always_inline)) long RawClone3(clone_args* args, size_t size) {
#if defined(__x86_64__)
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "0"(static_cast<long>(SYS_clone3)), "D"(args), "S"(size)
               : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long number asm("x8") = SYS_clone3;
  register long first asm("x0") = reinterpret_cast<long>(args);
  register long second asm("x1") = static_cast<long>(size);
  asm volatile("svc 0" : "+r"(first) : "r"(number), "r"(second) : "memory");
  return first;
#else
#error "how does this architecture make a system call?"
#endif
}

__attribute__((noinline)) long CloneAndRun(clone_args* args, void (*child)(void*), void* argument) {
  const long pid = RawClone3(args, sizeof(*args));
  if (pid == 0) {
    g_in_child = true;
    child(argument);
    _exit(126);
  }
  return pid;
}

}  // namespace

void Die(const char* what) {
  if (g_in_child) {
    g_child_errno = errno;
    g_child_failed = what;
    _exit(127);
  }
  std::fprintf(stderr, "floor: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

int Check(long result, const char* what) {
  if (result < 0) Die(what);
  return static_cast<int>(result);
}

pid_t SpawnBorrowing(uint64_t namespaces, int cgroup, void (*child)(void*), void* argument) {
  clone_args args = {};
  args.flags = namespaces | CLONE_VM | CLONE_VFORK;
  args.exit_signal = SIGCHLD;
  if (cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(cgroup);
  }
  const long pid = CloneAndRun(&args, child, argument);
  g_in_child = false;
  if (pid < 0) {
    errno = static_cast<int>(-pid);
    Die("clone3");
  }
  if (g_child_failed != nullptr) {
    (void)waitpid(static_cast<pid_t>(pid), nullptr, __WALL);
    errno = g_child_errno;
    Die(g_child_failed);
  }
  return static_cast<pid_t>(pid);
}

int OpenPath(int directory, const char* path, int flags) {
  return Check(openat(directory, path, flags | O_CLOEXEC, 0600), path);
}

int OpenInRoot(int root, const char* path) {
  open_how how = {};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(syscall(SYS_openat2, root, path, &how, sizeof(how)));
}

void WriteAt(int directory, const char* path, const char* text) {
  const int fd = OpenPath(directory, path, O_WRONLY);
  Check(write(fd, text, std::strlen(text)), path);
  close(fd);
}

void EnterNamespace(int fd, int type, const char* what) { Check(setns(fd, type), what); }

int NewFileSystem(const char* type) {
  return Check(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC), type);
}

void SetString(int fs, const char* key, const char* value) {
  const unsigned command = value != nullptr ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;
  Check(syscall(SYS_fsconfig, fs, command, key, value, 0), key);
}

int MountNew(int fs) {
  Check(syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0),
        "create a file system");
  const int mount = Check(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0), "mount a file system");
  close(fs);
  return mount;
}

int CloneMount(int directory, const char* path, bool recursive) {
  const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
                         (*path == '\0' ? static_cast<unsigned>(AT_EMPTY_PATH) : 0u) |
                         (recursive ? static_cast<unsigned>(AT_RECURSIVE) : 0u);
  return Check(syscall(SYS_open_tree, directory, path, flags), "clone a mount");
}

void AttachMount(int mount, int target, const char* what) {
  const unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  Check(syscall(SYS_move_mount, mount, "", target, "", flags), what);
}

void SetMountAttributes(int mount, uint64_t attributes, bool recursive) {
  mount_attr attr = {};
  attr.attr_set = attributes;
  if ((attributes & MOUNT_ATTR__ATIME) != 0) attr.attr_clr = MOUNT_ATTR__ATIME;
  const unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  Check(syscall(SYS_mount_setattr, mount, "", flags, &attr, sizeof(attr)), "mount_setattr");
}

}  // namespace crisp::bench
