#ifndef CRISP_CRI_CONTAINERS_CONTAINER_STOPPER_H_
#define CRISP_CRI_CONTAINERS_CONTAINER_STOPPER_H_

#include "absl/time/time.h"
#include "base/operation.h"
#include "cri/containers/container_exits.h"
#include "cri/containers/node_context.h"
#include "cri/state/pod_table.h"
#include "cri/state/work_queue.h"

namespace crisp::cri {

// What a start that is being killed may take to fail by itself, which tells more.
inline constexpr absl::Duration kStoppedStart = absl::Seconds(1);

// Ends containers: by their own signal and, when their time is up, by SIGKILL to everything in
// their group, again and again until nothing is left. Thread-safe.
class ContainerStopper {
 public:
  // The arguments outlive it. Jobs of `timers` use it.
  ContainerStopper(const NodeContext& node,
                   PodTable& table,
                   ContainerExits& exits,
                   WorkQueue& timers)
      : node_(node), table_(table), exits_(exits), timers_(timers) {}

  // Request(), then Await().
  absl::Status Stop(const ContainerPtr& container,
                    absl::Duration grace,
                    const Operation& operation);
  // Sends the stop signal, and has the container killed when the grace is over. Does not wait. Of
  // several requests the one that kills first counts. Does nothing if the container does not run.
  void Request(const ContainerPtr& container, absl::Duration grace);
  // Waits until it neither runs nor starts.
  absl::Status Await(const ContainerPtr& container, const Operation& operation);
  // Request() and Await() for all containers of a pod, without grace.
  absl::Status KillAllOf(const Pod& pod, const Operation& operation);
  // Thaws the pod's groups if somebody has frozen them, so that what is to be stopped goes on: the
  // shim may be in them.
  void Thaw(const Pod& pod) const;

 private:
  void Escalate(const ContainerPtr& container, int round);
  // Says that a killed container has ended, if nothing of it is left and its shim does not say so.
  bool ConcludeExit(const ContainerPtr& container);

  const NodeContext& node_;
  PodTable& table_;
  ContainerExits& exits_;
  WorkQueue& timers_;
};

// Signals the container's first process by its pidfd, or through the shim if there is none. OK if
// it has ended.
absl::Status SignalInit(const Container& container, int signal);

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_CONTAINER_STOPPER_H_
