#ifndef CRISP_CRI_CONTAINERS_CONTAINER_REMOVER_H_
#define CRISP_CRI_CONTAINERS_CONTAINER_REMOVER_H_

#include "base/operation.h"
#include "cri/containers/container_stopper.h"
#include "cri/containers/node_context.h"
#include "cri/state/join_table.h"
#include "cri/state/pod_events.h"
#include "cri/state/pod_table.h"
#include "cri/state/work_queue.h"

namespace crisp::cri {

// Removes containers. For clients they are gone at once; the background removes what they have,
// until nothing is left. Thread-safe.
class ContainerRemover {
 public:
  // The arguments outlive it. Jobs of `background` use it.
  ContainerRemover(const NodeContext& node,
                   PodTable& table,
                   ContainerStopper& stopper,
                   const PodEvents& events,
                   WorkQueue& background)
      : node_(node), table_(table), stopper_(stopper), events_(events), background_(background) {}

  // Kills it if it runs. When it returns OK no client sees it any more.
  absl::Status Remove(const ContainerPtr& container, const Operation& operation);
  // Undoes everything of a container that no client sees: it has the stage REMOVING or will never
  // be seen. It is tried at once. If that fails, the background tries until it succeeds.
  void Undo(const ContainerPtr& container);
  // The same, by the background alone.
  void UndoLater(const ContainerPtr& container);

 private:
  absl::StatusOr<bool> RemoveOnce(const ContainerPtr& container);
  // Idempotent. The failing RPC runs it, the background until it succeeds, or the next start.
  absl::Status TearDown(const ContainerPtr& container);

  const NodeContext& node_;
  PodTable& table_;
  ContainerStopper& stopper_;
  const PodEvents& events_;
  WorkQueue& background_;
  JoinTable<bool> removals_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_CONTAINER_REMOVER_H_
