#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/pod_manager.h"

namespace crisp::cri {
namespace {

// For killed processes to be gone, and for a plugin to answer.
constexpr absl::Duration kKillTime = absl::Minutes(1);
constexpr absl::Duration kDetachTime = absl::Minutes(2);
// For containers that are being made in the pod; those that take longer are undone by themselves.
constexpr absl::Duration kCreationTime = absl::Seconds(2);
// For a shim that is just being connected to; one that is not is ended all the same.
constexpr absl::Duration kAdoptTime = absl::Seconds(1);
constexpr absl::Duration kEndTime = absl::Seconds(10);

bool HostNetwork(const state::PodRecord& record) {
  return record.config().linux().security_context().namespace_options().network() == v1::NODE;
}

}  // namespace

absl::Status PodManager::StopPodSandbox(const v1::StopPodSandboxRequest& request,
                                        v1::StopPodSandboxResponse*,
                                        const Cancel& cancel) {
  absl::StatusOr<PodPtr> pod = pods_.Find(request.pod_sandbox_id());
  if (absl::IsNotFound(pod.status())) return absl::OkStatus();
  if (!pod.ok()) return pod.status();
  return removals_
      .Run(absl::StrCat("stop of pod ", (*pod)->id), cancel,
           [&]() -> absl::StatusOr<bool> {
             absl::Status status = StopPod(*pod);
             if (!status.ok()) return status;
             return true;
           })
      .status();
}

absl::Status PodManager::StopPod(const PodPtr& pod) {
  if (pod->Snapshot()->stopped()) return absl::OkStatus();
  if (pod->Ready()) {
    CRISP_RETURN_IF_ERROR(
        Change(*pod, [](state::PodRecord& r) { r.set_stage(state::PodRecord::NOT_READY); }));
  }
  ThawPod(*pod);
  StepTimer timer("StopPodSandbox", pod->steps, metrics_);
  (void)AwaitCreations(*pod, kCreationTime);
  CRISP_RETURN_IF_ERROR(KillContainers(pod, Cancel(absl::Now() + kKillTime)));
  timer.Done("containers");
  const std::shared_ptr<runtime::Shim> shim = pod->AwaitShim(kAdoptTime);
  if (!HostNetwork(*pod->Snapshot())) {
    // The addresses are free when this returns; a failure keeps the namespace, so that a plugin can
    // work on it at the next try.
    CRISP_RETURN_IF_ERROR(network_->Detach(pod->id, shim == nullptr ? -1 : shim->netns_fd(),
                                           Cancel(absl::Now() + kDetachTime)));
  }
  timer.Done("network");
  CRISP_RETURN_IF_ERROR(EndShim(pod));
  timer.Done("shim");
  CRISP_RETURN_IF_ERROR(Change(*pod, [](state::PodRecord& r) { r.set_stopped(true); }));
  timer.Done("record");
  Publish(pod, pod->id, v1::CONTAINER_STOPPED_EVENT);
  LogInfo("pod.stopped", {{"pod", pod->id}});
  return absl::OkStatus();
}

void PodManager::ThawPod(const Pod& pod) {
  const auto record = pod.Snapshot();
  const std::string& parent = record->config().linux().cgroup_parent();
  absl::Status thawed = CgroupAt(record->cgroup_path()).ThawIfFrozen();
  if (runtime::DriverOfPod(parent, record->cgroup_path()) == runtime::CgroupDriver::kSystemd && !parent.empty()) {
    const absl::StatusOr<std::string> scope = runtime::PodScopePath(parent, pod.id);
    thawed.Update(scope.ok() ? CgroupAt(*scope).ThawIfFrozen() : scope.status());
  }
  if (!thawed.ok()) LogWarning("pod.thaw", {{"pod", pod.id}, {"error", thawed.ToString()}});
}

absl::Status PodManager::EndShim(const PodPtr& pod) {
  const std::shared_ptr<runtime::Shim> shim = pod->GetShim();
  if (shim == nullptr) {
    // Dead, or never connected to: the kernel knows.
    CRISP_RETURN_IF_ERROR(shims_->EndPod(PodDir(pod->id), Cancel(absl::Now() + kEndTime)));
  } else {
    for (const ContainerPtr& container : ContainersOf(*pod)) {
      // Those never started: nothing is known of them in the shim's end otherwise.
      if (!shim->RemoveContainer(container->id).ok()) break;
    }
    const absl::Status ended = shim->Shutdown();
    if (!ended.ok()) {
      // All that we know of has ended; what it says beside that is no reason to keep the pod.
      LogWarning("shim.killed", {{"pod", pod->id}, {"error", ended.ToString()}});
      CRISP_RETURN_IF_ERROR(shim->Kill());
    }
  }
  absl::MutexLock lock(&pod->mutex);
  pod->shim = nullptr;
  pod->adopting = false;
  return absl::OkStatus();
}

absl::Status PodManager::KillContainers(const PodPtr& pod, const Cancel& cancel) {
  const std::vector<ContainerPtr> containers = ContainersOf(*pod);
  for (const ContainerPtr& container : containers) RequestStop(container, absl::ZeroDuration());
  for (const ContainerPtr& container : containers) {
    CRISP_RETURN_IF_ERROR(AwaitExit(container, cancel));
  }
  return absl::OkStatus();
}

absl::Status PodManager::RemovePodSandbox(const v1::RemovePodSandboxRequest& request,
                                          v1::RemovePodSandboxResponse*,
                                          const Cancel& cancel) {
  absl::StatusOr<PodPtr> pod = pods_.Find(request.pod_sandbox_id());
  if (absl::IsNotFound(pod.status())) return absl::OkStatus();
  if (!pod.ok()) return pod.status();
  return removals_
      .Run(absl::StrCat("removal of pod ", (*pod)->id), cancel,
           [&]() -> absl::StatusOr<bool> {
             absl::Status status = RemovePod(*pod);
             if (!status.ok()) return status;
             return true;
           })
      .status();
}

absl::Status PodManager::RemovePod(const PodPtr& pod) {
  const Cancel patient(absl::Now() + kKillTime + kDetachTime);
  auto stopped = removals_.Run(absl::StrCat("stop of pod ", pod->id), patient,
                               [&]() -> absl::StatusOr<bool> {
                                 absl::Status status = StopPod(pod);
                                 if (!status.ok()) return status;
                                 return true;
                               });
  if (!stopped.ok()) return stopped.status();
  StepTimer timer("RemovePodSandbox", pod->steps, metrics_);
  for (const ContainerPtr& container : ContainersOf(*pod)) {
    CRISP_RETURN_IF_ERROR(RemoveOne(container, patient));
  }
  CRISP_RETURN_IF_ERROR(
      Change(*pod, [](state::PodRecord& r) { r.set_stage(state::PodRecord::REMOVING); }));
  copies_.ForgetPod(pod->id);
  timer.Done("containers");
  if (!pods_.Erase(pod->id)) return absl::OkStatus();
  ForgetName(pod->name_key, pod->id);
  Publish(pod, pod->id, v1::CONTAINER_DELETED_EVENT);
  cleanup_.UntilDone(absl::StrCat("removal of pod ", pod->id), [this, pod] { return TearDownPod(pod); });
  LogInfo("pod.removed", {{"pod", pod->id}});
  return absl::OkStatus();
}

absl::Status PodManager::TearDownPod(const PodPtr& pod) {
  const auto held = pod->Snapshot();
  const state::PodRecord& record = *held;
  if (!AwaitCreations(*pod, absl::ZeroDuration())) {
    return absl::UnavailableError(absl::StrCat("a container is still being made in pod sandbox ", pod->id));
  }
  StepTimer timer("TearDownPod", pod->steps, metrics_);
  if (pod->GetShim() == nullptr && !record.stopped()) {
    // For its network namespace; it is ended also when it does not answer.
    auto adopted = shims_->AdoptPod(pod->id, PodDir(pod->id), Cancel(absl::Now() + kAdoptTime));
    if (adopted.ok()) {
      absl::MutexLock lock(&pod->mutex);
      pod->shim = *std::move(adopted);
    }
  }
  const std::shared_ptr<runtime::Shim> shim = pod->GetShim();
  if (!HostNetwork(record) && !record.stopped()) {
    CRISP_RETURN_IF_ERROR(network_->Detach(pod->id, shim == nullptr ? -1 : shim->netns_fd(),
                                           Cancel(absl::Now() + kDetachTime)));
  }
  if (!record.stopped()) CRISP_RETURN_IF_ERROR(EndShim(pod));
  timer.Done("shim");
  CRISP_RETURN_IF_ERROR(RemovePodGroups(record, Cancel(absl::Now() + absl::Seconds(5))));
  timer.Done("cgroup");
  // With the copy of the row, while the row still says that the pod is being removed.
  CRISP_RETURN_IF_ERROR(RemoveTree(PodDir(pod->id)));
  CRISP_RETURN_IF_ERROR(EraseRow(*pod));
  mcs_.Release(record.selinux_level());
  return absl::OkStatus();
}

absl::Status PodManager::RemovePodGroups(const state::PodRecord& record, const Cancel& cancel) {
  const std::string& parent = record.config().linux().cgroup_parent();
  const bool in_scope =
      runtime::DriverOfPod(parent, record.cgroup_path()) == runtime::CgroupDriver::kSystemd;
  if (parent.empty() || in_scope) {
    std::string path = record.cgroup_path();
    if (in_scope) {
      CRISP_ASSIGN_OR_RETURN(path, runtime::PodScopePath(parent, record.id()));
    }
    // The pod has it for itself.
    CRISP_RETURN_IF_ERROR(CgroupAt(path).Kill(cancel));
    return CgroupAt(path).Remove(cancel);
  }
  CRISP_ASSIGN_OR_RETURN(const std::string own,
                         runtime::ContainerCgroupPath(runtime::CgroupDriver::kCgroupfs, parent,
                                                      record.id(), record.id()));
  CRISP_RETURN_IF_ERROR(CgroupAt(own).Kill(cancel));
  CRISP_RETURN_IF_ERROR(CgroupAt(own).Remove(cancel));
  if (record.owns_cgroup()) CRISP_RETURN_IF_ERROR(RemoveOrphans(CgroupAt(record.cgroup_path())));
  // Other pods may be in it; the last one takes it away.
  return record.owns_cgroup() ? ReleaseCgroup(CgroupAt(record.cgroup_path())) : absl::OkStatus();
}

absl::Status PodManager::RemoveOrphans(const runtime::Cgroup& group) {
  absl::flat_hash_set<std::string> names;
  for (const std::string& dir : group.Dirs()) {
    const auto below = ListDir(dir);
    if (below.ok()) names.insert(below->begin(), below->end());
  }
  for (const std::string& name : names) {
    if (name.size() != 64 || !IsIdPrefix(name)) continue;  // the group's own files, and what others have made in it
    CRISP_ASSIGN_OR_RETURN(const bool known, records_->Has(name));
    if (known) continue;
    const runtime::Cgroup orphan = CgroupAt(absl::StrCat(group.path(), "/", name));
    LogWarning("cgroup.orphan", {{"path", orphan.path()}});
    const Cancel soon(absl::Now() + absl::Seconds(2));
    CRISP_RETURN_IF_ERROR(orphan.Kill(soon));
    CRISP_RETURN_IF_ERROR(orphan.Remove(soon));
  }
  return absl::OkStatus();
}

absl::Status PodManager::ReleaseCgroup(const runtime::Cgroup& group) {
  absl::MutexLock lock(&groups_mutex_);  // against a claim while it is being removed
  const auto it = own_groups_.find(group.path());
  if (it == own_groups_.end()) return absl::OkStatus();
  if (it->second == 1) {
    CRISP_ASSIGN_OR_RETURN(const bool gone, group.RemoveIfUnused());
    // Removed containers leave their groups in the background.
    if (!gone) return absl::UnavailableError(absl::StrCat("cgroup ", group.path(), " is in use"));
  }
  if (--it->second == 0) own_groups_.erase(it);
  return absl::OkStatus();
}

absl::Status PodManager::RemoveAllPods(const Cancel& cancel) {
  absl::Status first;
  for (const PodPtr& pod : pods_.All()) {
    v1::RemovePodSandboxRequest request;
    request.set_pod_sandbox_id(pod->id);
    first.Update(RemovePodSandbox(request, nullptr, cancel));
  }
  // What the background has still to undo is done when no row is left.
  for (;;) {
    absl::StatusOr<RecordStore::Records> rows = records_->LoadAll();
    if (!rows.ok()) return rows.status();
    if (!first.ok() || (rows->pods.empty() && rows->containers.empty())) return first;
    CRISP_RETURN_IF_ERROR(cancel.Check("removal of all pods"));
    absl::SleepFor(absl::Milliseconds(20));
  }
}

}  // namespace crisp::cri
