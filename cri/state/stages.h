#ifndef CRISP_CRI_STATE_STAGES_H_
#define CRISP_CRI_STATE_STAGES_H_

#include "cri/api/crisp_state.pb.h"

namespace crisp::cri {

// The stages of pods and containers, and the movers that may change each to another. Nothing else
// writes a stage: PodTable::Advance() asks here.
enum class Mover {
  kMaker,     // CreateContainer, RunPodSandbox, and their undoing
  kStarter,   // StartContainer
  kExit,      // the one that tells a container's end
  kStopper,   // StopPodSandbox
  kShim,      // the news that a pod's shim is dead or out of reach for good
  kRemover,   // RemoveContainer, RemovePodSandbox
  kRecovery,  // a daemon that finds more than an earlier one has written down
};

using PodStage = state::PodRecord::Stage;
using ContainerStage = state::ContainerRecord::Stage;

bool MayMove(Mover by, PodStage from, PodStage to);
bool MayMove(Mover by, ContainerStage from, ContainerStage to);

}  // namespace crisp::cri

#endif  // CRISP_CRI_STATE_STAGES_H_
