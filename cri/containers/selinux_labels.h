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

  // Level and label of a new pod, put into its record.
  absl::StatusOr<LevelLease> AssignTo(state::PodRecord& pod);
  // The level that a container asks for and its pod does not have.
  LevelLease ReserveFor(const v1::ContainerConfig& config, const state::PodRecord& pod);
  // What is recorded, as an earlier daemon gave it.
  LevelLease Restore(const std::string& level) { return LevelLease::Share(levels_, level); }

  // What the pod's own process, if any, runs as; "" without labels.
  absl::StatusOr<std::string> PodInitLabel(const state::PodRecord& pod) const;
  // A container's. InvalidArgument for what this kernel does not take.
  absl::StatusOr<runtime::SelinuxLabels> Of(const v1::ContainerConfig& config,
                                            const state::PodRecord& pod) const;

 private:
  const NodeContext& node_;
  const std::shared_ptr<runtime::McsPool> levels_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_SELINUX_LABELS_H_
