#ifndef CRISP_STORAGE_UNPACK_CONFINEMENT_H_
#define CRISP_STORAGE_UNPACK_CONFINEMENT_H_

#include <linux/filter.h>

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "storage/layer/layer_form.h"

namespace crisp::storage {

// Gives up everything that unpacking a layer does not need, for good: every descriptor but 0, 2, 3
// and 4; new privileges; core dumps, 1 GiB of address space and `more_memory`, `cpu_seconds` of
// processor time (SIGXCPU); and every system call that `filter` does not let through (see
// UnpackerFilter). Into a directory: the world outside of `target_fd` (chroot), and all
// capabilities but those that set owners, modes, device nodes and file capabilities. Into a file,
// which is open already: all capabilities. Sets umask 0. For a single-threaded child
// process that exits afterwards. Under a sanitizer, whose runtime needs more, address space and
// system calls are left alone.
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
