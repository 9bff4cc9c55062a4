#ifndef CRISP_CRI_CONTAINERS_CONTAINER_EXITS_H_
#define CRISP_CRI_CONTAINERS_CONTAINER_EXITS_H_

#include <string>

#include "cri/containers/executions.h"
#include "cri/containers/node_context.h"
#include "cri/containers/oom_counter.h"
#include "cri/state/pod_events.h"
#include "cri/state/pod_table.h"

namespace crisp::cri {

// What follows when a container has ended: its leftovers die, its execs are told, its row says so,
// and then others hear of it. Thread-safe.
class ContainerExits {
 public:
  // All outlive it.
  ContainerExits(const NodeContext& node,
                 PodTable& table,
                 Executions& executions,
                 OomCounter& ooms,
                 const PodEvents& events)
      : node_(node), table_(table), executions_(executions), ooms_(ooms), events_(events) {}

  // The first who tells it does it. Takes up to two seconds where a container's processes may
  // outlive its first one. `reason`: for the status; empty: by the exit code.
  void Handle(const ContainerPtr& container,
              const runtime::ExitRecord& exit,
              const std::string& reason);

 private:
  const NodeContext& node_;
  PodTable& table_;
  Executions& executions_;
  OomCounter& ooms_;
  const PodEvents& events_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_CONTAINER_EXITS_H_
