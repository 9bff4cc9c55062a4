#include "cri/containers/container_remover.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "cri/state/life_log.h"
#include "cri/state/step_timer.h"

namespace crisp::cri {

absl::Status ContainerRemover::Remove(const ContainerPtr& container, const Operation& operation) {
  return removals_
      .Run(absl::StrCat("removal of container ", container->id), operation,
           [&] { return RemoveOnce(container); })
      .status();
}

absl::StatusOr<bool> ContainerRemover::RemoveOnce(const ContainerPtr& container) {
  CRISP_RETURN_IF_ERROR(container->pod->runtime->Usable());
  {
    absl::MutexLock lock(&container->mutex);
    container->removing = true;
  }
  StepTimer timer("RemoveContainer", container->steps, node_.metrics);
  const Operation patience(absl::Now() + absl::Minutes(1));
  absl::Status status;
  for (bool again = true; again;) {
    stopper_.Request(container, absl::ZeroDuration());
    status = stopper_.Await(container, patience);
    timer.Done("exit");
    if (!status.ok()) break;
    const PodTable::Moved moved =
        table_.Advance(*container, Mover::kRemover, state::ContainerRecord::REMOVING);
    status = moved.status;
    // A shim that has just been connected to may have told that it runs.
    again = !moved.done && container->Snapshot()->stage() == state::ContainerRecord::RUNNING;
  }
  if (!status.ok()) {
    absl::MutexLock lock(&container->mutex);
    container->removing = false;
    return status;
  }
  table_.ForgetCopy(*container);
  timer.Done("record");
  if (!table_.Hide(*container)) return true;
  events_.Tell(LifePoint::kContainerRemoved, *container);
  LogContainer(LogLevel::kInfo, "container.removed", *container);
  background_.UntilDone(absl::StrCat("removal of container ", container->id),
                        [this, container] { return TearDown(container); });
  return true;
}

void ContainerRemover::Undo(const ContainerPtr& container) {
  if (!TearDown(container).ok()) UndoLater(container);
}

void ContainerRemover::UndoLater(const ContainerPtr& container) {
  background_.UntilDone(absl::StrCat("undo of container ", container->id),
                        [this, container] { return TearDown(container); });
}

absl::Status ContainerRemover::TearDown(const ContainerPtr& container) {
  const auto held = container->Snapshot();
  const state::ContainerRecord& record = *held;
  const Operation soon(absl::Now() + absl::Seconds(5));
  runtime::PodRuntime& runtime = *container->pod->runtime;
  const runtime::ContainerRef ref = RefTo(*container->pod, record);
  StepTimer timer("TearDownContainer", container->steps, node_.metrics);
  CRISP_RETURN_IF_ERROR(runtime.KillAll(ref, soon));
  timer.Done("kill");
  // Only a shim that is gone has let go of the mounts by itself. One that is still to be connected
  // to would tell of the container later, when nothing else does.
  if (container->pod->Adopting()) {
    return absl::UnavailableError(absl::StrCat("the shim of pod sandbox ", container->pod->id,
                                               " is still being connected to"));
  }
  if (auto handle = container->pod->Handle(); handle != nullptr) {
    const absl::Status removed = handle->Delete(container->id);
    if (!removed.ok() && (handle->alive() || !absl::IsUnavailable(removed))) return removed;
  }
  timer.Done("shim");
  CRISP_RETURN_IF_ERROR(runtime.CleanUp(ref, soon));
  timer.Done("cgroup");
  CRISP_RETURN_IF_ERROR(node_.images->ReleaseContainer(container->id));
  for (const std::string& key : record.view_keys()) {
    CRISP_RETURN_IF_ERROR(node_.images->ReleaseContainer(key));
  }
  timer.Done("storage");
  CRISP_RETURN_IF_ERROR(RemoveTree(node_.VolumeDir(container->id)));
  CRISP_RETURN_IF_ERROR(RemoveTree(node_.ExitRecordPath(container->pod->id, container->id)));
  // While there is a row to say that it is being removed: a copy alone would bring it back.
  table_.ForgetCopy(*container);
  return table_.Erase(*container);
}

}  // namespace crisp::cri
