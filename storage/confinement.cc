#include "storage/confinement.h"

#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "base/status.h"
#include "base/unique_fd.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CRISP_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CRISP_SANITIZED 1
#endif
#endif

namespace crisp::storage {
namespace {

constexpr int kFirstUnknownFd = 5;
#ifdef CRISP_SANITIZED
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

absl::Status EnterDirectory(int target_fd) {
  if (fchdir(target_fd) != 0) return ErrnoError(errno, "enter the layer's directory");
  if (chroot(".") != 0) return ErrnoError(errno, "chroot to the layer's directory");
  return absl::OkStatus();
}

absl::Status DropCapabilities() {
  constexpr cap_value_t kKept[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER,
                                   CAP_FSETID, CAP_MKNOD, CAP_SETFCAP};
  const std::unique_ptr<void, int (*)(void*)> now(cap_get_proc(), cap_free);
  const std::unique_ptr<void, int (*)(void*)> then(cap_init(), cap_free);
  if (now == nullptr || then == nullptr) return ErrnoError(errno, "read capabilities");
  // What is missing already cannot be kept; the first operation that needs it will say so.
  for (const cap_value_t cap : kKept) {
    cap_flag_value_t has = CAP_CLEAR;
    cap_get_flag(static_cast<cap_t>(now.get()), cap, CAP_PERMITTED, &has);
    cap_set_flag(static_cast<cap_t>(then.get()), CAP_PERMITTED, 1, &cap, has);
    cap_set_flag(static_cast<cap_t>(then.get()), CAP_EFFECTIVE, 1, &cap, has);
  }
  if (cap_set_proc(static_cast<cap_t>(then.get())) != 0) return ErrnoError(errno, "drop capabilities");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return ErrnoError(errno, "set no_new_privs");
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return ErrnoError(errno, "clear dumpable");
  return absl::OkStatus();
}

absl::Status SetLimits() {
  constexpr rlim_t kAddressSpace = rlim_t{1} << 30;
  constexpr rlim_t kFiles = 1024;  // removing a replaced directory holds one per level
  const std::pair<int, rlim_t> limits[] = {
      {RLIMIT_CORE, 0}, {RLIMIT_NOFILE, kFiles}, {RLIMIT_AS, kAddressSpace}};
  for (const auto& [resource, value] : limits) {
    if (kSanitized && resource == RLIMIT_AS) continue;
    const rlimit limit{value, value};
    if (setrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) {
      return ErrnoError(errno, "set resource limits");
    }
  }
  return absl::OkStatus();
}

// libseccomp writes the program to a descriptor only.
absl::StatusOr<std::vector<sock_filter>> Export(scmp_filter_ctx filter) {
  const UniqueFd file(memfd_create("filter", MFD_CLOEXEC));
  if (!file) return ErrnoError(errno, "make a file for the seccomp filter");
  if (const int error = seccomp_export_bpf(filter, file.get()); error != 0) {
    return ErrnoError(-error, "compile the seccomp filter");
  }
  const off_t size = lseek(file.get(), 0, SEEK_END);
  std::vector<sock_filter> program(static_cast<size_t>(size) / sizeof(sock_filter));
  if (pread(file.get(), program.data(), static_cast<size_t>(size), 0) != size) {
    return ErrnoError(errno, "read the seccomp filter");
  }
  return program;
}

absl::StatusOr<std::vector<sock_filter>> CompileFilter() {
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(seccomp_init(SCMP_ACT_KILL_PROCESS),
                                                               seccomp_release);
  if (filter == nullptr) return absl::InternalError("make a seccomp filter");
  constexpr int kAllowed[] = {
      // files, relative to the directory
      SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(mkdirat), SCMP_SYS(mknodat),
      SCMP_SYS(symlinkat), SCMP_SYS(linkat), SCMP_SYS(unlinkat), SCMP_SYS(newfstatat),
      SCMP_SYS(fstat), SCMP_SYS(statx), SCMP_SYS(fstatfs), SCMP_SYS(fchown), SCMP_SYS(fchownat),
      SCMP_SYS(fchmod), SCMP_SYS(fchmodat), SCMP_SYS(fsetxattr), SCMP_SYS(utimensat),
      SCMP_SYS(ftruncate), SCMP_SYS(getdents64), SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(writev),
      SCMP_SYS(pwrite64), SCMP_SYS(lseek), SCMP_SYS(close), SCMP_SYS(fcntl),
      // memory
      SCMP_SYS(brk), SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(mprotect),
      SCMP_SYS(madvise),
      // threads, time, the end
      SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_yield),
      SCMP_SYS(sched_getaffinity), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction),
      SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall), SCMP_SYS(gettid), SCMP_SYS(getpid),
      SCMP_SYS(tgkill), SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
      SCMP_SYS(getrandom), SCMP_SYS(exit), SCMP_SYS(exit_group)};
  int error = 0;
  for (const int call : kAllowed) {
    if (error == 0) error = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0);
  }
  // clone3's flags are out of a filter's sight: without it the C library uses clone.
  if (error == 0) {
    error = seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
  }
  if (error == 0) {
    error = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
  }
  if (error != 0) return ErrnoError(-error, "make the seccomp filter");
  return Export(filter.get());
}

const absl::StatusOr<std::vector<sock_filter>>& Filter() {
  static const auto* filter = new absl::StatusOr<std::vector<sock_filter>>(CompileFilter());
  return *filter;
}

// After no_new_privs is set.
absl::Status LoadFilter() {
  if (!Filter().ok()) return Filter().status();
  const sock_fprog program{.len = static_cast<unsigned short>(Filter()->size()),
                           .filter = const_cast<sock_filter*>(Filter()->data())};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) {
    return ErrnoError(errno, "load the seccomp filter");
  }
  return absl::OkStatus();
}

}  // namespace

void PrepareConfinement() { (void)Filter(); }

absl::Status ConfineUnpacker(int target_fd) {
  (void)umask(0);
  if (syscall(SYS_close_range, kFirstUnknownFd, ~0u, 0) != 0) {
    return ErrnoError(errno, "close descriptors");
  }
  CRISP_RETURN_IF_ERROR(EnterDirectory(target_fd));
  CRISP_RETURN_IF_ERROR(SetLimits());
  CRISP_RETURN_IF_ERROR(DropCapabilities());
  return kSanitized ? absl::OkStatus() : LoadFilter();
}

}  // namespace crisp::storage
