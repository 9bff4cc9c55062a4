#include "cri/pods/shim_keeper.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/state/life_log.h"

namespace crisp::cri {
namespace {

// For a shim to answer; the first time, while others wait for their turn, and later.
constexpr absl::Duration kFirstAdoptTime = absl::Seconds(2);
constexpr absl::Duration kAdoptTime = absl::Seconds(10);

}  // namespace

absl::StatusOr<std::unique_ptr<runtime::HandlerTable>> ShimKeeper::MakeHandlers(
    const MakeRuntimes& make_runtimes) {
  CRISP_ASSIGN_OR_RETURN(std::vector<std::unique_ptr<runtime::PodRuntime>> runtimes,
                         make_runtimes(node_, this));
  return runtime::HandlerTable::Create(node_.options.handlers, std::move(runtimes));
}

void ShimKeeper::Adopt(const PodPtr& pod, std::function<void()> first) {
  {
    absl::MutexLock lock(&pod->mutex);
    pod->adopting = true;
  }
  AdoptSoon(pod, std::move(first));
}

void ShimKeeper::AdoptSoon(const PodPtr& pod, std::function<void()> first) {
  adoptions_.Post([this, pod, first = std::move(first)] {
    const absl::Status adopted = AdoptNow(pod, kFirstAdoptTime);
    if (first != nullptr) first();
    if (adopted.ok()) return;
    // Nothing is proven: the pod stays as it is recorded, and the shim is asked again.
    LogPod(LogLevel::kError, "recover.adopt", *pod, {{"error", adopted.ToString()}});
    adoptions_.UntilDone(absl::StrCat("adoption of pod ", pod->id),
                         [this, pod] { return AdoptNow(pod, kAdoptTime); });
  });
}

absl::Status ShimKeeper::AdoptNow(const PodPtr& pod, absl::Duration patience) {
  if (!pod->Adopting()) return absl::OkStatus();  // stopped meanwhile
  const Operation operation = stopping_.operation().Until(absl::Now() + patience);
  auto handle = pod->runtime->AdoptPod(pod->id, node_.PodDir(pod->id), operation);
  if (handle.ok()) return TakeOver(pod, *handle);
  const bool for_good =
      absl::IsNotFound(handle.status()) || absl::IsFailedPrecondition(handle.status());
  return for_good ? GiveUp(pod, handle.status()) : handle.status();
}

// Nobody will reach it any more. Its processes, if it lives, go on until the pod is stopped.
absl::Status ShimKeeper::GiveUp(const PodPtr& pod, const absl::Status& why) {
  const bool dead = absl::IsNotFound(why);
  if (!dead) LogPod(LogLevel::kError, "recover.unreachable", *pod, {{"error", why.ToString()}});
  {
    absl::MutexLock lock(&pod->mutex);
    pod->handle = nullptr;
    pod->adopting = false;
  }
  const absl::Status recorded = RecordUnreachable(*pod, dead);
  if (!dead) return absl::OkStatus();
  for (const ContainerPtr& container : table_.ContainersOf(*pod)) Reconcile(container, nullptr);
  return absl::IsNotFound(recorded) ? absl::OkStatus() : recorded;
}

absl::Status ShimKeeper::RecordUnreachable(Pod& pod, bool dead) {
  const auto forget = [dead](state::PodRecord& record) {
    if (dead) record.set_shim_pid(0);
  };
  const PodTable::Moved moved =
      table_.Advance(pod, Mover::kShim, state::PodRecord::NOT_READY, forget);
  return moved.done ? moved.status : table_.Change(pod, forget);
}

void ShimKeeper::LookAt(const PodPtr& pod) {
  const std::shared_ptr<runtime::PodHandle> handle = pod->Handle();
  if (handle == nullptr || !handle->alive()) {
    HandleDeath(pod);
  } else if (!handle->connected()) {
    HandleLost(pod);
  }
}

void ShimKeeper::OnContainerExit(absl::string_view pod_id,
                                 absl::string_view container_id,
                                 const runtime::ExitRecord& record) {
  (void)pod_id;
  absl::StatusOr<ContainerPtr> container = table_.FindContainer(container_id);
  if (!container.ok()) return;  // being undone: nobody waits for it
  quick_.Post(
      [this, container = *std::move(container), record] { exits_.Handle(container, record, ""); });
}

void ShimKeeper::OnExecExit(absl::string_view,
                            absl::string_view exec_id,
                            const runtime::ExitRecord& record) {
  executions_.Finish(std::string(exec_id), record);
}

void ShimKeeper::OnPodDeath(absl::string_view pod_id) {
  absl::StatusOr<PodPtr> pod = table_.FindPod(pod_id);
  if (pod.ok()) {
    quick_.Post([this, pod = *std::move(pod)] { HandleDeath(pod); });
    return;
  }
  // The maker of the pod looks when it becomes visible.
}

void ShimKeeper::OnPodLost(absl::string_view pod_id) {
  absl::StatusOr<PodPtr> pod = table_.FindPod(pod_id);
  if (pod.ok()) quick_.Post([this, pod = *std::move(pod)] { HandleLost(pod); });
}

void ShimKeeper::HandleLost(const PodPtr& pod) {
  LogPod(LogLevel::kWarning, "shim.connection_lost", *pod);
  {
    absl::MutexLock lock(&pod->mutex);
    // Under way, and looks at the connection when it is done; or already made again.
    if (pod->adopting || (pod->handle != nullptr && pod->handle->connected())) return;
    pod->handle = nullptr;
    pod->adopting = true;
  }
  for (const ContainerPtr& container : table_.ContainersOf(*pod)) {
    // The shim kills what came over the connection.
    executions_.FinishAllOf(container->id, absl::Now());
  }
  AdoptSoon(pod, nullptr);
}

void ShimKeeper::HandleDeath(const PodPtr& pod) {
  LogPod(LogLevel::kError, "shim.died", *pod);
  {
    absl::MutexLock lock(&pod->mutex);
    pod->handle = nullptr;
    pod->adopting = false;
  }
  (void)RecordUnreachable(*pod, /*dead=*/true);
  for (const ContainerPtr& container : table_.ContainersOf(*pod)) Reconcile(container, nullptr);
  events_.Tell(LifePoint::kPodStopped, pod);
}

}  // namespace crisp::cri
