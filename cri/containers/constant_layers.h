#ifndef CRISP_CRI_CONTAINERS_CONSTANT_LAYERS_H_
#define CRISP_CRI_CONTAINERS_CONSTANT_LAYERS_H_

#include <string>

#include "absl/status/statusor.h"

namespace crisp::cri {

// Layers of crispd's own, the same for all containers.
struct ConstantLayers {
  // Under every container's image, `<root>/mount-points`: empty directories and files where crisp
  // mounts something in nearly every container. What the image has there hides it. Without it each
  // of them that an image lacks (most lack most) would be made in the container's own layer when it
  // starts: an inode on the disk each time, to be written, counted and removed again. "": there is
  // none, and they are.
  std::string mount_points;
  // `<root>/empty`: the second layer of a view that has only one. An overlay, which alone gives it
  // a container's label, wants two.
  std::string empty;
};

// Makes what is missing of them. Mount points that cannot be made are only a warning.
absl::StatusOr<ConstantLayers> MakeConstantLayers(const std::string& root);

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_CONSTANT_LAYERS_H_
