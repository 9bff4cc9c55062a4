#ifndef CRISP_STORAGE_EROFS_EROFS_MOUNT_H_
#define CRISP_STORAGE_EROFS_EROFS_MOUNT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp::storage {

// Mounts the file, read-only and attached nowhere: it ends with the last descriptor and overlay
// that uses it.
absl::StatusOr<UniqueFd> MountErofs(int file);

// Tries all that layers of this form take, with files in `directory`, a directory of the store:
// mounting them from files, cloning such a mount, an overlay of two. OK when this kernel can; else
// what it said.
absl::Status ProbeErofs(const std::string& directory);

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_EROFS_EROFS_MOUNT_H_
