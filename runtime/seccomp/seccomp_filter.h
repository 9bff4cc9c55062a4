#ifndef CRISP_RUNTIME_SECCOMP_SECCOMP_FILTER_H_
#define CRISP_RUNTIME_SECCOMP_SECCOMP_FILTER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/thread.h"
#include "runtime/oci/oci_spec.h"

namespace crisp::runtime {

struct SeccompFilter {
  std::string bpf;     // struct sock_filter[]
  uint32_t flags = 0;  // SECCOMP_FILTER_FLAG_* for seccomp(2)
  bool operator==(const SeccompFilter&) const = default;
};

// Compiles with libseccomp (a binary tree over the syscall numbers). A short prologue of ours
// stands in front. It returns ENOSYS for syscalls that are newer than every one the profile names,
// so that a libc falls back instead of seeing EPERM; it does so only if the default action is an
// errno other than ENOSYS, or kills. It also has the rules for syscalls that the kernel has and
// this libseccomp has no name for. The whole is then condensed (seccomp_condense.h). Unknown names
// are skipped, as every runtime does. InvalidArgument if libseccomp refuses a rule.
absl::StatusOr<SeccompFilter> CompileSeccomp(const OciSeccomp& profile);

// Compiled filters by profile; a resolved profile has its capabilities and architecture in it.
// Thread-safe. If one thread compiles a filter, the others wait for it.
class SeccompCache {
 public:
  explicit SeccompCache(size_t capacity = 64) : capacity_(capacity) {}
  ~SeccompCache();

  absl::StatusOr<std::shared_ptr<const SeccompFilter>> Get(const OciSeccomp& profile);
  // Compiles the default profile for the default capabilities on a thread of its own.
  void Warm();

 private:
  struct Entry;
  const size_t capacity_;
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, std::shared_ptr<Entry>> entries_ ABSL_GUARDED_BY(mutex_);
  uint64_t clock_ ABSL_GUARDED_BY(mutex_) = 0;
  Thread warmer_;
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_SECCOMP_SECCOMP_FILTER_H_
