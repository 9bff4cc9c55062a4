#ifndef CRISP_STORAGE_UNPACK_CONFINEMENT_H_
#define CRISP_STORAGE_UNPACK_CONFINEMENT_H_

#include <linux/filter.h>

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "storage/layer/layer_form.h"

namespace crisp::storage {

// Gives up everything that unpacking a layer does not need, for good: every descriptor but 0, 2, 3
// and 4; new privileges; core dumps; address space beyond 1 GiB and `more_memory`; processor time
// beyond `cpu_seconds` (SIGXCPU); and every system call that `filter` does not let through (see
// UnpackerFilter). For a directory it gives up the world outside of `target_fd` (chroot), and all
// capabilities but those that set owners, modes, device nodes and file capabilities. For a file,
// which is open already, it gives up all capabilities. Sets umask 0. For a single-threaded child
// process that exits afterwards. A sanitizer's runtime needs more, so address space and system
// calls are left alone under one.
struct UnpackerLimits {
  uint64_t more_memory = 0;
  uint64_t cpu_seconds = 3600;
};
absl::Status ConfineUnpacker(LayerTarget target,
                             int target_fd,
                             absl::Span<const sock_filter> filter,
                             const UnpackerLimits& limits = {});

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_UNPACK_CONFINEMENT_H_
