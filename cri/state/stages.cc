#include "cri/state/stages.h"

namespace crisp::cri {
namespace {

template <typename Stage>
struct Move {
  Stage from, to;
  Mover by;
};

using P = state::PodRecord;
constexpr Move<PodStage> kPodMoves[] = {
    {P::MAKING, P::READY, Mover::kMaker},
    {P::MAKING, P::REMOVING, Mover::kMaker},
    {P::READY, P::REMOVING, Mover::kMaker},  // made, but its copy could not be written
    {P::READY, P::NOT_READY, Mover::kStopper},
    {P::READY, P::NOT_READY, Mover::kShim},
    {P::NOT_READY, P::REMOVING, Mover::kRemover},
    {P::REMOVING, P::REMOVING, Mover::kRemover},  // asked for again: the row could not be written
};

using C = state::ContainerRecord;
constexpr Move<ContainerStage> kContainerMoves[] = {
    {C::MAKING, C::CREATED, Mover::kMaker},
    {C::MAKING, C::REMOVING, Mover::kMaker},
    {C::CREATED, C::REMOVING, Mover::kMaker},  // made, but its pod has been stopped meanwhile
    {C::CREATED, C::RUNNING, Mover::kStarter},
    {C::CREATED, C::EXITED, Mover::kStarter},  // the start has failed
    {C::RUNNING, C::EXITED, Mover::kExit},
    {C::CREATED, C::REMOVING, Mover::kRemover},
    {C::EXITED, C::REMOVING, Mover::kRemover},
    {C::REMOVING, C::REMOVING, Mover::kRemover},
    {C::CREATED, C::RUNNING,
     Mover::kRecovery},  // the daemon that started it died before it wrote so
};

template <typename Stage, size_t kCount>
constexpr bool Has(const Move<Stage> (&moves)[kCount], Mover by, Stage from, Stage to) {
  for (const Move<Stage>& move : moves) {
    if (move.by == by && move.from == from && move.to == to) return true;
  }
  return false;
}

}  // namespace

bool MayMove(Mover by, PodStage from, PodStage to) { return Has(kPodMoves, by, from, to); }
bool MayMove(Mover by, ContainerStage from, ContainerStage to) {
  return Has(kContainerMoves, by, from, to);
}

}  // namespace crisp::cri
