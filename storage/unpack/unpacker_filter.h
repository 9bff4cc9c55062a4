#ifndef CRISP_STORAGE_UNPACK_UNPACKER_FILTER_H_
#define CRISP_STORAGE_UNPACK_UNPACKER_FILTER_H_

#include <linux/filter.h>

#include <vector>

#include "absl/status/statusor.h"
#include "storage/layer/layer_form.h"

namespace crisp::storage {

// The system calls that unpacking a layer takes, as a seccomp program. A process dies of all
// others. New threads are allowed, new processes are not; for a file, nothing that takes a path is.
// The first call compiles it. Thread-safe.
const absl::StatusOr<std::vector<sock_filter>>& UnpackerFilter(LayerTarget target);

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_UNPACK_UNPACKER_FILTER_H_
