#ifndef CRISP_CRI_CONTAINERS_CONTAINER_PAUSER_H_
#define CRISP_CRI_CONTAINERS_CONTAINER_PAUSER_H_

#include "base/operation.h"
#include "cri/state/pod_table.h"

namespace crisp::cri {

// Pauses containers and lets them go on. Nothing is recorded: the kernel knows what is paused, so a
// later daemon does. Thread-safe.
class ContainerPauser {
 public:
  // Returns when nothing in it runs. A container that is paused stays so. One that does not become
  // quiet in time (a process of it waits in the kernel) goes on, and the error says so.
  // FailedPrecondition unless it runs, Unimplemented where its pod's runtime cannot do it.
  absl::Status Pause(const Container& container, const Operation& operation) const;
  // Returns when it goes on. The same codes.
  absl::Status Unpause(const Container& container, const Operation& operation) const;
};

// True if it is paused; false where that cannot be said.
bool IsPaused(const Container& container);
// Lets it go on if it is paused, so that a signal that waits for it is delivered.
absl::Status UnpauseForSignal(const Container& container);

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_CONTAINER_PAUSER_H_
