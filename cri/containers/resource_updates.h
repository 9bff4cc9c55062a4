#ifndef CRISP_CRI_CONTAINERS_RESOURCE_UPDATES_H_
#define CRISP_CRI_CONTAINERS_RESOURCE_UPDATES_H_

#include "base/operation.h"
#include "cri/containers/node_context.h"
#include "cri/state/pod_table.h"

namespace crisp::cri {

// Changes the limits of running containers and pods. Thread-safe.
class ResourceUpdates {
 public:
  // Both outlive it.
  ResourceUpdates(const NodeContext& node, PodTable& table) : node_(node), table_(table) {}

  // Unimplemented where the pod's runtime has no such verb.
  absl::Status UpdateContainer(const v1::UpdateContainerResourcesRequest& request,
                               const Operation& operation);
  absl::Status UpdatePod(const v1::UpdatePodSandboxResourcesRequest& request);

  // Gives the record's oom_score_adj to those of the container's processes that have `former`.
  void ApplyOomScore(const state::ContainerRecord& record, int64_t former) const;

 private:
  const NodeContext& node_;
  PodTable& table_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_RESOURCE_UPDATES_H_
