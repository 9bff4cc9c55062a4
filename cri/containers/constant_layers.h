#ifndef CRISP_CRI_CONTAINERS_CONSTANT_LAYERS_H_
#define CRISP_CRI_CONTAINERS_CONSTANT_LAYERS_H_

#include <string>

#include "absl/status/statusor.h"

namespace crisp::cri {

// Layers of crispd's own, the same for all containers.
struct ConstantLayers {
  // `<root>/mount-points`, the layer under every container's image. It has empty directories and
  // files at the places where crisp mounts something in nearly every container. What the image has
  // there hides it. Without this layer a start would make each place that an image lacks (most lack
  // most) in the container's own layer. That is an inode on the disk each time, to be written,
  // counted and removed again. "" if there is no such layer, and starts make them.
  std::string mount_points;
  // `<root>/empty`, the second layer of a view that has only one. A view needs an overlay to have a
  // container's label, and an overlay without an upper layer needs two.
  std::string empty;
};

// Makes those that are missing. Mount points that cannot be made are only a warning.
absl::StatusOr<ConstantLayers> MakeConstantLayers(const std::string& root);

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_CONSTANT_LAYERS_H_
