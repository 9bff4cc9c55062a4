#ifndef CRISP_CRI_CONTAINERS_SELINUX_LABELS_H_
#define CRISP_CRI_CONTAINERS_SELINUX_LABELS_H_

#include <memory>
#include <string>

#include "cri/containers/node_context.h"
#include "cri/state/level_lease.h"
#include "runtime/lsm/mcs_pool.h"
#include "runtime/lsm/selinux.h"

namespace crisp::cri {

// The SELinux levels and labels of pods and containers. Thread-safe.
class SelinuxLabels {
 public:
  // `node` outlives it.
  explicit SelinuxLabels(const NodeContext& node)
      : node_(node), levels_(std::make_shared<runtime::McsPool>(node.options.selinux_categories)) {}

  // Puts the level and the label of a new pod into its record.
  absl::StatusOr<LevelLease> AssignTo(state::PodRecord& pod);
  // Reserves the level that a container asks for, if it is not its pod's.
  LevelLease ReserveFor(const v1::ContainerConfig& config, const state::PodRecord& pod);
  // Reserves a recorded level, which an earlier daemon gave.
  LevelLease Restore(const std::string& level) { return LevelLease::Share(levels_, level); }

  // The label of the pod's own process, if there is one; "" without labels.
  absl::StatusOr<std::string> PodInitLabel(const state::PodRecord& pod) const;
  // A container's labels. InvalidArgument for a label that this kernel does not take.
  absl::StatusOr<runtime::SelinuxLabels> Of(const v1::ContainerConfig& config,
                                            const state::PodRecord& pod) const;

 private:
  const NodeContext& node_;
  const std::shared_ptr<runtime::McsPool> levels_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_SELINUX_LABELS_H_
