#ifndef CRISP_CRI_MOUNT_POINTS_H_
#define CRISP_CRI_MOUNT_POINTS_H_

#include <string>

#include "absl/status/statusor.h"

namespace crisp::cri {

// The layer under every container's image, `<root>/mount-points`: empty directories and files where
// crisp mounts something in nearly every container. What the image has there hides it. Without it
// each of them that an image lacks (most lack most) would be made in the container's own layer when
// it starts: an inode on the disk each time, to be written, counted and removed again.
//
// Makes what is missing and returns the layer's directory. A failure leaves what was made so far,
// and containers that do without.
absl::StatusOr<std::string> MakeMountPoints(const std::string& root);

}  // namespace crisp::cri

#endif  // CRISP_CRI_MOUNT_POINTS_H_
