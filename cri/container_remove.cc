#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/pod_manager.h"

namespace crisp::cri {

absl::Status PodManager::RemoveContainer(const v1::RemoveContainerRequest& request,
                                         v1::RemoveContainerResponse*,
                                         const Cancel& cancel) {
  absl::StatusOr<ContainerPtr> container = containers_.Find(request.container_id());
  if (absl::IsNotFound(container.status())) return absl::OkStatus();
  if (!container.ok()) return container.status();
  return RemoveOne(*container, cancel);
}

absl::Status PodManager::RemoveOne(const ContainerPtr& container, const Cancel& cancel) {
  const auto remove = [&]() -> absl::StatusOr<bool> {
    {
      absl::MutexLock lock(&container->mutex);
      container->removing = true;
    }
    StepTimer timer("RemoveContainer", container->steps, metrics_);
    RequestStop(container, absl::ZeroDuration());
    absl::Status status = AwaitExit(container, Cancel(absl::Now() + absl::Minutes(1)));
    if (status.ok()) {
      timer.Done("exit");
      status = Change(*container,
                      [](state::ContainerRecord& r) { r.set_stage(state::ContainerRecord::REMOVING); });
    }
    if (!status.ok()) {
      absl::MutexLock lock(&container->mutex);
      container->removing = false;
      return status;
    }
    copies_.ForgetContainer(container->pod->id, container->id);
    timer.Done("record");
    if (!HideContainer(*container)) return true;
    ForgetName(container->name_key, container->id);
    Publish(container->pod, container->id, v1::CONTAINER_DELETED_EVENT);
    cleanup_.UntilDone(absl::StrCat("removal of container ", container->id),
                       [this, container] { return TearDownContainer(container); });
    return true;
  };
  return removals_.Run(absl::StrCat("removal of container ", container->id), cancel, remove).status();
}

absl::Status PodManager::TearDownContainer(const ContainerPtr& container) {
  const auto held = container->Snapshot();
  const state::ContainerRecord& record = *held;
  const Cancel soon(absl::Now() + absl::Seconds(5));
  const runtime::Cgroup group = CgroupAt(record.cgroup_path());
  StepTimer timer("TearDownContainer", container->steps, metrics_);
  CRISP_RETURN_IF_ERROR(group.Kill(soon));
  timer.Done("kill");
  // Only a shim that is gone has let go of the mounts by itself. One that is still to be connected to
  // would tell of the container later, when nothing else does.
  if (container->pod->Adopting()) {
    return absl::UnavailableError(absl::StrCat("the shim of pod sandbox ", container->pod->id,
                                               " is still being connected to"));
  }
  if (auto shim = container->pod->GetShim(); shim != nullptr) {
    const absl::Status removed = shim->RemoveContainer(container->id);
    if (!removed.ok() && (shim->alive() || !absl::IsUnavailable(removed))) return removed;
  }
  timer.Done("shim");
  CRISP_RETURN_IF_ERROR(group.Remove(soon));
  timer.Done("cgroup");
  CRISP_RETURN_IF_ERROR(images_->ReleaseContainer(container->id));
  for (const std::string& key : record.view_keys()) {
    CRISP_RETURN_IF_ERROR(images_->ReleaseContainer(key));
  }
  timer.Done("storage");
  CRISP_RETURN_IF_ERROR(RemoveTree(VolumeDir(container->id)));
  CRISP_RETURN_IF_ERROR(RemoveTree(ExitRecordPath(container->pod->id, container->id)));
  // While there is a row to say that it is being removed: a copy alone would bring it back.
  copies_.ForgetContainer(container->pod->id, container->id);
  CRISP_RETURN_IF_ERROR(EraseRow(*container));
  mcs_.Release(record.selinux_level());
  return absl::OkStatus();
}

}  // namespace crisp::cri
