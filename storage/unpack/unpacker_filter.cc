#include "storage/unpack/unpacker_filter.h"

#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "base/status.h"
#include "base/unique_fd.h"

namespace crisp::storage {
namespace {

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

absl::StatusOr<std::vector<sock_filter>> CompileFilter(LayerTarget target) {
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(seccomp_init(SCMP_ACT_KILL_PROCESS),
                                                                seccomp_release);
  if (filter == nullptr) return absl::InternalError("make a seccomp filter");
  // Files, relative to the directory.
  constexpr int kPaths[] = {
      SCMP_SYS(openat),    SCMP_SYS(openat2),   SCMP_SYS(mkdirat),   SCMP_SYS(mknodat),
      SCMP_SYS(symlinkat), SCMP_SYS(linkat),    SCMP_SYS(unlinkat),  SCMP_SYS(newfstatat),
      SCMP_SYS(statx),     SCMP_SYS(fchown),    SCMP_SYS(fchownat),  SCMP_SYS(fchmod),
      SCMP_SYS(fchmodat),  SCMP_SYS(fsetxattr), SCMP_SYS(utimensat), SCMP_SYS(getdents64)};
  constexpr int kAllowed[] = {
      // descriptors
      SCMP_SYS(fstat), SCMP_SYS(fstatfs), SCMP_SYS(ftruncate), SCMP_SYS(read), SCMP_SYS(write),
      SCMP_SYS(writev), SCMP_SYS(pwrite64), SCMP_SYS(lseek), SCMP_SYS(close), SCMP_SYS(fcntl),
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
  if (error == 0) {  // threads have names
    error = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                             SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
  }
  // Refused rather than deadly into a file: libraries look for optional files.
  const uint32_t for_paths =
      target == LayerTarget::kDirectory ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EACCES);
  for (const int call : kPaths) {
    if (error == 0) error = seccomp_rule_add(filter.get(), for_paths, call, 0);
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

}  // namespace

const absl::StatusOr<std::vector<sock_filter>>& UnpackerFilter(LayerTarget target) {
  using Compiled = absl::StatusOr<std::vector<sock_filter>>;
  static const auto* directory = new Compiled(CompileFilter(LayerTarget::kDirectory));
  static const auto* file = new Compiled(CompileFilter(LayerTarget::kFile));
  return target == LayerTarget::kDirectory ? *directory : *file;
}

}  // namespace crisp::storage
