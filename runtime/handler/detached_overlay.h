#ifndef CRISP_RUNTIME_HANDLER_DETACHED_OVERLAY_H_
#define CRISP_RUNTIME_HANDLER_DETACHED_OVERLAY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/lower.h"
#include "base/unique_fd.h"

namespace crisp::runtime {

// An overlay mount of `lower_dirs` (topmost first), `upper_dir` and `work_dir`, not attached
// anywhere: it ends with the descriptor, or is attached by move_mount(2) in any mount namespace of
// the same user namespace. As the shim makes one for a container: volatile, private.
//
// Unimplemented on kernels without "lowerdir+" (before 6.8), InvalidArgument for a path of 256
// bytes or more; otherwise what the kernel says.
absl::StatusOr<UniqueFd> MountDetachedOverlay(const std::vector<Lower>& lower_dirs,
                                              const std::string& upper_dir,
                                              const std::string& work_dir);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_HANDLER_DETACHED_OVERLAY_H_
