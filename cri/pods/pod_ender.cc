#include "cri/pods/pod_ender.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/pods/pod_inputs.h"
#include "cri/state/life_log.h"
#include "cri/state/step_timer.h"

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

}  // namespace

absl::Status PodEnder::Stop(const PodPtr& pod, const Operation& operation) {
  return stops_
      .Run(absl::StrCat("stop of pod sandbox ", pod->id), operation, [&] { return StopOnce(pod); })
      .status();
}

absl::StatusOr<bool> PodEnder::StopOnce(const PodPtr& pod) {
  if (pod->Snapshot()->stopped()) return true;
  CRISP_RETURN_IF_ERROR(pod->runtime->Usable());
  if (const PodTable::Moved moved =
          table_.Advance(*pod, Mover::kStopper, state::PodRecord::NOT_READY);
      moved.done) {
    CRISP_RETURN_IF_ERROR(moved.status);
  }
  stopper_.Thaw(*pod);
  StepTimer timer("StopPodSandbox", pod->steps, node_.metrics);
  (void)PodTable::AwaitCreations(*pod, kCreationTime);
  CRISP_RETURN_IF_ERROR(stopper_.KillAllOf(*pod, Operation(absl::Now() + kKillTime)));
  timer.Done("containers");
  CRISP_RETURN_IF_ERROR(Detach(*pod, pod->AwaitHandle(kAdoptTime)));
  timer.Done("network");
  CRISP_RETURN_IF_ERROR(EndShim(pod));
  timer.Done("shim");
  CRISP_RETURN_IF_ERROR(table_.Change(*pod, [](state::PodRecord& r) { r.set_stopped(true); }));
  timer.Done("record");
  events_.Tell(LifePoint::kPodStopped, pod);
  LogPod(LogLevel::kInfo, "pod.stopped", *pod);
  return true;
}

// The addresses are free when this returns; a failure keeps the namespace, so that a plugin can
// work on it at the next try.
absl::Status PodEnder::Detach(const Pod& pod, const std::shared_ptr<runtime::PodHandle>& handle) {
  if (!IsAttached(*pod.Snapshot())) return absl::OkStatus();
  return node_.network->Detach(pod.id, handle == nullptr ? -1 : handle->netns_fd(),
                               Operation(absl::Now() + kDetachTime));
}

absl::Status PodEnder::EndShim(const PodPtr& pod) {
  const std::shared_ptr<runtime::PodHandle> handle = pod->Handle();
  if (handle == nullptr) {
    // Dead, or never connected to: the kernel knows.
    CRISP_RETURN_IF_ERROR(
        pod->runtime->EndPod(node_.PodDir(pod->id), Operation(absl::Now() + kEndTime)));
  } else {
    for (const ContainerPtr& container : table_.ContainersOf(*pod)) {
      // Those never started: nothing is known of them in the shim's end otherwise.
      if (!handle->Delete(container->id).ok()) break;
    }
    const absl::Status ended = handle->Shutdown();
    if (!ended.ok()) {
      // All that we know of has ended; what it says beside that is no reason to keep the pod.
      LogPod(LogLevel::kWarning, "shim.killed", *pod, {{"error", ended.ToString()}});
      CRISP_RETURN_IF_ERROR(handle->Kill());
    }
  }
  absl::MutexLock lock(&pod->mutex);
  pod->handle = nullptr;
  pod->adopting = false;
  return absl::OkStatus();
}

absl::Status PodEnder::Remove(const PodPtr& pod, const Operation& operation) {
  return removals_
      .Run(absl::StrCat("removal of pod sandbox ", pod->id), operation,
           [&] { return RemoveOnce(pod); })
      .status();
}

absl::Status PodEnder::RemoveNow(const PodPtr& pod) {
  return Remove(pod, Operation(absl::Now() + 2 * (kKillTime + kDetachTime)));
}

absl::StatusOr<bool> PodEnder::RemoveOnce(const PodPtr& pod) {
  const Operation patient(absl::Now() + kKillTime + kDetachTime);
  CRISP_RETURN_IF_ERROR(Stop(pod, patient));
  StepTimer timer("RemovePodSandbox", pod->steps, node_.metrics);
  for (const ContainerPtr& container : table_.ContainersOf(*pod)) {
    CRISP_RETURN_IF_ERROR(remover_.Remove(container, patient));
  }
  CRISP_RETURN_IF_ERROR(table_.Advance(*pod, Mover::kRemover, state::PodRecord::REMOVING).status);
  table_.ForgetCopy(*pod);
  timer.Done("containers");
  if (!table_.Hide(*pod)) return true;
  events_.Tell(LifePoint::kPodRemoved, pod);
  background_.UntilDone(absl::StrCat("removal of pod ", pod->id),
                        [this, pod] { return TearDown(pod); });
  LogPod(LogLevel::kInfo, "pod.removed", *pod);
  return true;
}

void PodEnder::Undo(const PodPtr& pod) {
  if (!TearDown(pod).ok()) UndoLater(pod);
}

void PodEnder::UndoLater(const PodPtr& pod) {
  background_.UntilDone(absl::StrCat("undo of pod ", pod->id),
                        [this, pod] { return TearDown(pod); });
}

absl::Status PodEnder::TearDown(const PodPtr& pod) {
  const auto held = pod->Snapshot();
  const state::PodRecord& record = *held;
  if (!PodTable::AwaitCreations(*pod, absl::ZeroDuration())) {
    return absl::UnavailableError(
        absl::StrCat("a container is still being made in pod sandbox ", pod->id));
  }
  StepTimer timer("TearDownPod", pod->steps, node_.metrics);
  if (!record.stopped()) {
    if (pod->Handle() == nullptr) {
      // For its network namespace; it is ended also when it does not answer.
      auto adopted = pod->runtime->AdoptPod(pod->id, node_.PodDir(pod->id),
                                            Operation(absl::Now() + kAdoptTime));
      if (adopted.ok()) {
        absl::MutexLock lock(&pod->mutex);
        pod->handle = *std::move(adopted);
      }
    }
    CRISP_RETURN_IF_ERROR(Detach(*pod, pod->Handle()));
    CRISP_RETURN_IF_ERROR(EndShim(pod));
  }
  timer.Done("shim");
  CRISP_RETURN_IF_ERROR(claims_.RemoveGroupsOf(record, Operation(absl::Now() + absl::Seconds(5))));
  timer.Done("cgroup");
  // With the copy of the row, while the row still says that the pod is being removed.
  CRISP_RETURN_IF_ERROR(RemoveTree(node_.PodDir(pod->id)));
  return table_.Erase(*pod);
}

}  // namespace crisp::cri
