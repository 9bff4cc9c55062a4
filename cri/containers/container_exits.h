#ifndef CRISP_CRI_CONTAINERS_CONTAINER_EXITS_H_
#define CRISP_CRI_CONTAINERS_CONTAINER_EXITS_H_

#include <string>

#include "cri/containers/executions.h"
#include "cri/containers/oom_counter.h"
#include "cri/state/pod_events.h"
#include "cri/state/pod_table.h"

namespace crisp::cri {

// Handles the end of a container: its leftovers die, its execs are told, its row says so, and then
// others hear of it. Thread-safe.
class ContainerExits {
 public:
  // All outlive it.
  ContainerExits(PodTable& table, Executions& executions, OomCounter& ooms, const PodEvents& events)
      : table_(table), executions_(executions), ooms_(ooms), events_(events) {}

  // Handles the end; only the first call for it does anything. Takes up to two seconds if processes
  // of the container may outlive its first one. `reason` is for the status; if it is empty, the
  // reason follows from the exit code.
  void Handle(const ContainerPtr& container,
              const runtime::ExitRecord& exit,
              const std::string& reason);

 private:
  PodTable& table_;
  Executions& executions_;
  OomCounter& ooms_;
  const PodEvents& events_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_CONTAINER_EXITS_H_
