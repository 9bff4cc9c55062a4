#ifndef CRISP_STORAGE_EROFS_MOUNT_H_
#define CRISP_STORAGE_EROFS_MOUNT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp::storage {

// What tells an image that is whole from one that is not. Contents of files are not looked at, as they
// are not in directories.
struct ErofsSummary {
  uint64_t size = 0;            // of the image
  std::string metadata_digest;  // of the super block and all inodes, names and attributes
  bool operator==(const ErofsSummary&) const = default;
};

// Reads an image's metadata and checks that its super block is one of ErofsWriter's, without any of the
// format's optional features. DataLoss when it is something else.
absl::StatusOr<ErofsSummary> SummarizeErofs(int image);

// Mounts the image, read-only and attached nowhere: it ends with the last descriptor and overlay that
// uses it.
absl::StatusOr<UniqueFd> MountErofs(int image);

// Tries all that layers as images take, with images in `directory`, a directory of the store: mounting
// them from files, cloning such a mount, an overlay of two. OK when this kernel can; else what it said.
absl::Status ProbeErofs(const std::string& directory);

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_EROFS_MOUNT_H_
