#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/pod_manager.h"

namespace crisp::cri {
namespace {

// A shared or foreign PID namespace outlives the container's init, and with it what init started.
bool OwnPidNamespace(const state::ContainerRecord& record) {
  return record.config().linux().security_context().namespace_options().pid() == v1::CONTAINER;
}

std::string ReasonOf(const runtime::ExitRecord& exit, bool oom) {
  if (exit.exit_code == 0) return "Completed";
  return oom ? "OOMKilled" : "Error";
}

}  // namespace

void PodManager::OnContainerExit(absl::string_view pod_id,
                                 absl::string_view container_id,
                                 const runtime::ExitRecord& record) {
  (void)pod_id;
  absl::StatusOr<ContainerPtr> container = containers_.Find(container_id);
  if (!container.ok()) return;  // being undone: nobody waits for it
  quick_.Post([this, container = *std::move(container), record] { HandleExit(container, record, ""); });
}

void PodManager::HandleExit(const ContainerPtr& container,
                            const runtime::ExitRecord& exit,
                            const std::string& reason) {
  {
    absl::MutexLock lock(&container->mutex);
    if (container->starting) {
      container->early_exit = exit;
      return;
    }
    // Several may know of it: the shim, a look at its records, who has killed it.
    if (container->record->stage() != state::ContainerRecord::RUNNING || container->exiting) return;
    container->exiting = true;
    container->written = true;
  }
  const auto held_before = container->Snapshot();
  const state::ContainerRecord& before = *held_before;
  const runtime::Cgroup group = CgroupAt(before.cgroup_path());
  if (!OwnPidNamespace(before)) {
    const absl::Status killed = group.Kill(Cancel(absl::Now() + absl::Seconds(2)));
    if (!killed.ok()) {
      LogWarning("container.leftover", {{"container", container->id}, {"error", killed.ToString()}});
    }
  }
  // The cgroup stands until the container is removed, so its counter cannot be missed.
  const absl::StatusOr<uint64_t> oom_kills = group.OomKills();
  if (oom_kills.ok()) CountLastOomKills(*container, *oom_kills);
  execs_.FinishAllOf(container->id, {.exit_code = 137, .signal = 9, .exited_at = exit.exited_at});
  (void)Change(*container, [&](state::ContainerRecord& record) {
    record.set_stage(state::ContainerRecord::EXITED);
    record.set_pid(0);
    record.set_exit_code(exit.exit_code);
    record.set_finished_at(absl::ToUnixNanos(exit.exited_at));
    record.set_reason(!reason.empty() ? reason : ReasonOf(exit, oom_kills.ok() && *oom_kills > 0));
  });
  {
    absl::MutexLock lock(&container->mutex);
    container->pidfd = nullptr;
    container->exiting = false;
  }
  LogInfo("container.exited", {{"container", container->id}, {"code", exit.exit_code}});
  Publish(container->pod, container->id, v1::CONTAINER_STOPPED_EVENT);
}

void PodManager::OnExecExit(absl::string_view, absl::string_view exec_id, const runtime::ExitRecord& record) {
  (void)execs_.Finish(std::string(exec_id), record);
}

void PodManager::OnShimDeath(absl::string_view pod_id) {
  absl::StatusOr<PodPtr> pod = pods_.Find(pod_id);
  if (pod.ok()) {
    quick_.Post([this, pod = *std::move(pod)] { HandleShimDeath(pod); });
    return;
  }
  // Whoever is making it looks when it becomes visible.
}

void PodManager::OnShimLost(absl::string_view pod_id) {
  absl::StatusOr<PodPtr> pod = pods_.Find(pod_id);
  if (pod.ok()) quick_.Post([this, pod = *std::move(pod)] { HandleShimLost(pod); });
}

void PodManager::HandleShimLost(const PodPtr& pod) {
  LogWarning("shim.connection_lost", {{"pod", pod->id}});
  {
    absl::MutexLock lock(&pod->mutex);
    // Under way, and looks at the connection when it is done; or already made again.
    if (pod->adopting || (pod->shim != nullptr && pod->shim->connected())) return;
    pod->shim = nullptr;
    pod->adopting = true;
  }
  for (const ContainerPtr& container : ContainersOf(*pod)) {
    // The shim kills what came over the connection.
    execs_.FinishAllOf(container->id, {.exit_code = 137, .signal = 9, .exited_at = absl::Now()});
  }
  AdoptSoon(pod);
}

void PodManager::HandleShimDeath(const PodPtr& pod) {
  LogError("shim.died", {{"pod", pod->id}});
  {
    absl::MutexLock lock(&pod->mutex);
    pod->shim = nullptr;
    pod->adopting = false;
  }
  (void)Change(*pod, [](state::PodRecord& record) {
    if (record.stage() == state::PodRecord::READY) record.set_stage(state::PodRecord::NOT_READY);
    record.set_shim_pid(0);
  });
  for (const ContainerPtr& container : ContainersOf(*pod)) Reconcile(container, nullptr);
  Publish(pod, pod->id, v1::CONTAINER_STOPPED_EVENT);
}

void PodManager::Publish(const PodPtr& pod, const std::string& id, v1::ContainerEventType type) {
  if (!events_.HasReaders()) return;
  auto event = std::make_shared<v1::ContainerEventResponse>();
  event->set_container_id(id);
  event->set_container_event_type(type);
  event->set_created_at(absl::ToUnixNanos(absl::Now()));
  FillStatus(*pod, event->mutable_pod_sandbox_status());
  FillStatuses(*pod, event->mutable_containers_statuses());
  events_.Publish(std::move(event));
}

absl::Status PodManager::GetContainerEvents(
    const v1::GetEventsRequest&,
    const std::function<bool(const v1::ContainerEventResponse&)>& write,
    const Cancel& cancel) {
  return events_.Read(write, cancel);
}

}  // namespace crisp::cri
