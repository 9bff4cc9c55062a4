#ifndef CRISP_RUNTIME_SHIM_SYS_H_
#define CRISP_RUNTIME_SHIM_SYS_H_

#include <errno.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#include "runtime/wire/plan_view.h"

namespace crisp::shim {

using namespace crisp::runtime;  // the views and the wire

// The shim is one thread without exceptions. The last failure is kept in one place, by the line
// that saw it, and travels to the daemon from there.
enum Code : uint32_t {  // the canonical status codes
  kOk = 0,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kInternal = 13,
  kUnavailable = 14,
};
struct Error {
  uint32_t code;     // used when error_number is 0
  int error_number;  // errno of the failed call
  char text[500];    // "step object"
};
extern Error g_error;

// Records "step object" with errno (or a given number); returns false.
bool Fail(const char* step, const char* object = "");
bool FailWith(int error_number, const char* step, const char* object = "");
// Records an error that no system call made.
bool Refuse(Code code, const char* step, const char* object = "");

// ParsePlan() with the reason of a failure in g_error.
template <class View>
bool ReadPlan(const char* bytes, size_t size, PlanKind kind, View* view) {
  if (ParsePlan(bytes, size, kind, view)) return true;
  if (IsLaterPlan(bytes, size))
    return Refuse(kFailedPrecondition, "the plan is of a later version than this shim reads");
  return Refuse(kInvalidArgument, "malformed plan");
}

// Owns one descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) : fd_(other.Release()) {}
  Fd& operator=(Fd&& other) {
    Reset(other.Release());
    return *this;
  }
  ~Fd() { Reset(); }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void Reset(int fd = -1) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

// System calls that the C libraries lack or wrap in ways that do not suit (errno convention).
int SysClone3(clone_args* args);
int SysSetns(int fd, int type);
int SysUnshare(int flags);
int SysPidfdOpen(pid_t pid);
int SysPidfdSignal(int pidfd, int signal);
int SysOpenat2(int dirfd, const char* path, uint64_t flags, uint64_t mode, uint64_t resolve);
int SysOpenTree(int dirfd, const char* path, unsigned flags);
int SysMoveMount(int from, int to);  // fd onto fd
int SysFsopen(const char* type);
int SysFsconfig(int fd, unsigned command, const char* key, const void* value, int aux);
int SysFsmount(int fd, unsigned attributes);
int SysMountSetattr(int fd, unsigned flags, mount_attr* attr);
int SysMount(const char* source,
             const char* target,
             const char* type,
             unsigned long flags,
             const void* data);
int SysUmount(const char* target, int flags);
int SysPivotRoot(const char* new_root, const char* put_old);
int SysCloseRange(unsigned first, unsigned last, unsigned flags);

constexpr uint64_t kInRoot = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

// Opens inside `root` as a process chrooted there would, never following magic links. -1 with
// errno.
int OpenInRoot(int root, const char* path, int flags, mode_t mode = 0);

// A NUL-terminated string built in place. Text that does not fit sets `overflow`.
template <size_t kSize>
struct Text {
  char data[kSize] = {};
  size_t size = 0;
  bool overflow = false;
  Text& Add(const char* s, size_t n) {
    if (size + n >= kSize) {
      overflow = true;
      return *this;
    }
    memcpy(data + size, s, n);
    size += n;
    data[size] = '\0';
    return *this;
  }
  Text& Add(const char* s) { return Add(s, strlen(s)); }
  Text& Add(const Str& s) { return Add(s.data, s.size); }
  Text& AddNumber(int64_t value) {
    char digits[24];
    int at = sizeof(digits);
    uint64_t rest = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
    do {
      digits[--at] = static_cast<char>('0' + rest % 10);
      rest /= 10;
    } while (rest > 0);
    if (value < 0) digits[--at] = '-';
    return Add(digits + at, sizeof(digits) - static_cast<size_t>(at));
  }
};
using Path = Text<4096>;

// One write(2) of a whole string to an existing file.
bool WriteFileAt(int dirfd, const char* path, const char* data, size_t size);
bool WriteFileAt(int dirfd, const char* path, const char* data);

// Ends this process well.
[[noreturn]] void EndShim();

// Nanoseconds since the epoch.
uint64_t Now();
// For deadlines, because no change of the clock may move them.
uint64_t Monotonic();

// If memory is gone, one request fails and the shim goes on. Everything that takes some can say so,
// and there is no other `new`. Work that must not fail (exits, logs) takes none.

// malloc'ed memory, and a malloc'ed copy (with a NUL behind it). nullptr with g_error.
void* Allocate(size_t size);  // zeroed
char* Duplicate(const char* data, size_t size);

// `new` of a derived class returns nullptr with g_error.
struct Fallible {
  static void* operator new(size_t size) noexcept;
  static void operator delete(void* memory);
};

// Deletes the object that it holds unless that is released.
template <class T>
class Owner {
 public:
  explicit Owner(T* object) : object_(object) {}
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;
  ~Owner() { delete object_; }
  T* operator->() const { return object_; }
  T* get() const { return object_; }
  T* Release() {
    T* const object = object_;
    object_ = nullptr;
    return object;
  }

 private:
  T* object_;
};

// True if the kernel had no memory for a call that may be made again.
inline bool IsShortage(int error) { return error == ENOMEM || error == ENOBUFS; }

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_SYS_H_
