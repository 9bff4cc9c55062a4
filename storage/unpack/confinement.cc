#include "storage/unpack/confinement.h"

#include <linux/close_range.h>
#include <linux/seccomp.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/status.h"

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

absl::Status DropCapabilities(LayerTarget target) {
  constexpr cap_value_t kKept[] = {CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FOWNER,
                                   CAP_FSETID, CAP_MKNOD,        CAP_SETFCAP};
  const std::unique_ptr<void, int (*)(void*)> now(cap_get_proc(), cap_free);
  const std::unique_ptr<void, int (*)(void*)> then(cap_init(), cap_free);
  if (now == nullptr || then == nullptr) return ErrnoError(errno, "read capabilities");
  // A capability that is missing already cannot be kept. The first operation that needs it will say
  // so.
  for (const cap_value_t cap : kKept) {
    if (target == LayerTarget::kFile) break;
    cap_flag_value_t has = CAP_CLEAR;
    cap_get_flag(static_cast<cap_t>(now.get()), cap, CAP_PERMITTED, &has);
    cap_set_flag(static_cast<cap_t>(then.get()), CAP_PERMITTED, 1, &cap, has);
    cap_set_flag(static_cast<cap_t>(then.get()), CAP_EFFECTIVE, 1, &cap, has);
  }
  if (cap_set_proc(static_cast<cap_t>(then.get())) != 0)
    return ErrnoError(errno, "drop capabilities");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return ErrnoError(errno, "set no_new_privs");
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return ErrnoError(errno, "clear dumpable");
  return absl::OkStatus();
}

absl::Status SetLimits(const UnpackerLimits& allowed) {
  constexpr rlim_t kAddressSpace = rlim_t{1} << 30;
  constexpr rlim_t kFiles = 1024;  // removing a replaced directory holds one per level
  const std::pair<int, rlim_t> limits[] = {{RLIMIT_CORE, 0},
                                           {RLIMIT_NOFILE, kFiles},
                                           {RLIMIT_AS, kAddressSpace + allowed.more_memory},
                                           {RLIMIT_CPU, std::max<rlim_t>(1, allowed.cpu_seconds)}};
  for (const auto& [resource, value] : limits) {
    if (kSanitized && resource == RLIMIT_AS) continue;
    // The hard limit of processor time is SIGKILL, which does not say why.
    const rlimit limit{value, resource == RLIMIT_CPU ? value + 5 : value};
    if (setrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) {
      return ErrnoError(errno, "set resource limits");
    }
  }
  return absl::OkStatus();
}

// After no_new_privs is set.
absl::Status LoadFilter(absl::Span<const sock_filter> filter) {
  const sock_fprog program{.len = static_cast<unsigned short>(filter.size()),
                           .filter = const_cast<sock_filter*>(filter.data())};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) {
    return ErrnoError(errno, "load the seccomp filter");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ConfineUnpacker(LayerTarget target,
                             int target_fd,
                             absl::Span<const sock_filter> filter,
                             const UnpackerLimits& limits) {
  (void)umask(0);
  if (syscall(SYS_close_range, kFirstUnknownFd, ~0u, 0) != 0) {
    return ErrnoError(errno, "close descriptors");
  }
  if (target == LayerTarget::kDirectory) CRISP_RETURN_IF_ERROR(EnterDirectory(target_fd));
  CRISP_RETURN_IF_ERROR(SetLimits(limits));
  CRISP_RETURN_IF_ERROR(DropCapabilities(target));
  return kSanitized ? absl::OkStatus() : LoadFilter(filter);
}

}  // namespace crisp::storage
