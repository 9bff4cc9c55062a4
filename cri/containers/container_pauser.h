#ifndef CRISP_CRI_CONTAINERS_CONTAINER_PAUSER_H_
#define CRISP_CRI_CONTAINERS_CONTAINER_PAUSER_H_

#include "base/operation.h"
#include "cri/state/pod_table.h"

namespace crisp::cri {

// Pauses containers and lets them go on. What is paused is recorded, because the kernel does not
// tell it from what stands still for a moment while its execs are killed. Thread-safe.
class ContainerPauser {
 public:
  // The table outlives it.
  explicit ContainerPauser(PodTable& table) : table_(table) {}

  // Returns when nothing in it runs. A container that is paused stays so. One that does not become
  // quiet in time (a process of it waits in the kernel) goes on, and the error says so. If the
  // daemon dies in between, the container is recorded as paused: Unpause() mends that.
  // FailedPrecondition unless it runs, Unimplemented where its pod's runtime cannot do it.
  absl::Status Pause(Container& container, const Operation& operation) const;
  // Returns when it goes on. The same codes. After a failure it is paused still.
  absl::Status Unpause(Container& container, const Operation& operation) const;

 private:
  PodTable& table_;
};

inline bool IsPaused(const Container& container) { return container.Snapshot()->paused(); }
// Lets it go on if it is paused, so that a signal that waits for it is delivered.
absl::Status UnpauseForSignal(PodTable& table, Container& container);

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_CONTAINER_PAUSER_H_
