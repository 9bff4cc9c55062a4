#ifndef CRISP_CRI_PODS_POD_ENDER_H_
#define CRISP_CRI_PODS_POD_ENDER_H_

#include "base/operation.h"
#include "cri/containers/cgroup_claims.h"
#include "cri/containers/container_remover.h"
#include "cri/containers/container_stopper.h"
#include "cri/containers/node_context.h"
#include "cri/pods/shim_keeper.h"
#include "cri/state/join_table.h"
#include "cri/state/pod_events.h"
#include "cri/state/pod_table.h"
#include "cri/state/work_queue.h"

namespace crisp::cri {

// Stops and removes pods. Thread-safe.
class PodEnder {
 public:
  // The arguments outlive it. Jobs of `background` use it.
  PodEnder(const NodeContext& node,
           PodTable& table,
           CgroupClaims& claims,
           ContainerStopper& stopper,
           ContainerRemover& remover,
           const PodEvents& events,
           WorkQueue& background)
      : node_(node),
        table_(table),
        claims_(claims),
        stopper_(stopper),
        remover_(remover),
        events_(events),
        background_(background) {}

  // Stops the pod. When it returns OK, the pod's containers, network and shim have ended.
  absl::Status Stop(const PodPtr& pod, const Operation& operation);
  // Stops the pod and removes it. When it returns OK, no client sees it any more.
  absl::Status Remove(const PodPtr& pod, const Operation& operation);
  // Remove(), within the time that it may take.
  absl::Status RemoveNow(const PodPtr& pod);
  // Undoes everything of a pod that no client sees. It is tried at once. If that fails, the
  // background tries until it succeeds.
  void Undo(const PodPtr& pod);
  // The same, by the background alone.
  void UndoLater(const PodPtr& pod);

 private:
  absl::StatusOr<bool> StopOnce(const PodPtr& pod);
  absl::StatusOr<bool> RemoveOnce(const PodPtr& pod);
  absl::Status Detach(const Pod& pod, const std::shared_ptr<runtime::PodHandle>& handle);
  // Ends the pod's shim, by asking or else by force, and with it what it still has.
  absl::Status EndShim(const PodPtr& pod);
  // Idempotent. The failing RPC runs it, the background until it succeeds, or the next start.
  absl::Status TearDown(const PodPtr& pod);

  const NodeContext& node_;
  PodTable& table_;
  CgroupClaims& claims_;
  ContainerStopper& stopper_;
  ContainerRemover& remover_;
  const PodEvents& events_;
  WorkQueue& background_;
  JoinTable<bool> stops_;
  JoinTable<bool> removals_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_POD_ENDER_H_
