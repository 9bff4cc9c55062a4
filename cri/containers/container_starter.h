#ifndef CRISP_CRI_CONTAINERS_CONTAINER_STARTER_H_
#define CRISP_CRI_CONTAINERS_CONTAINER_STARTER_H_

#include <optional>

#include "base/operation.h"
#include "cri/containers/container_exits.h"
#include "cri/containers/node_context.h"
#include "cri/containers/resource_updates.h"
#include "cri/state/join_table.h"
#include "cri/state/pod_events.h"
#include "cri/state/pod_table.h"
#include "cri/state/work_queue.h"

namespace crisp::cri {

// Starts created containers. Thread-safe.
class ContainerStarter {
 public:
  // The arguments outlive it. Jobs of `quick` use it.
  ContainerStarter(const NodeContext& node,
                   PodTable& table,
                   const ResourceUpdates& updates,
                   ContainerExits& exits,
                   const PodEvents& events,
                   WorkQueue& quick)
      : node_(node),
        table_(table),
        updates_(updates),
        exits_(exits),
        events_(events),
        quick_(quick) {}

  // Starts the container. A call during another start of it waits for that one. FailedPrecondition
  // unless it is created. A start that fails is the container's end.
  absl::Status Start(const ContainerPtr& container, const Operation& operation);

 private:
  absl::StatusOr<bool> StartOnce(const ContainerPtr& container);
  // Ends some time after a stop wants it killed.
  static Operation UntilStopped(Container& container);
  absl::Status Finish(const ContainerPtr& container,
                      absl::StatusOr<runtime::StartedProcess> started);
  // Settles the container: from now on its stage says what it is. Gives an end that was told
  // meanwhile. Returns the signal of a stop that came too early to send it, or 0.
  static int Settle(Container& container,
                    absl::StatusOr<runtime::StartedProcess>& started,
                    std::optional<runtime::ExitRecord>* early);

  const NodeContext& node_;
  PodTable& table_;
  const ResourceUpdates& updates_;
  ContainerExits& exits_;
  const PodEvents& events_;
  WorkQueue& quick_;
  JoinTable<bool> starts_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_CONTAINER_STARTER_H_
