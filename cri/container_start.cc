#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/pod_manager.h"

namespace crisp::cri {
namespace {

constexpr absl::Duration kStartTime = absl::Minutes(4);
// What a start that is being killed may take to fail by itself, which tells more.
constexpr absl::Duration kStoppedStart = absl::Seconds(1);

const char* StageName(state::ContainerRecord::Stage stage) {
  switch (stage) {
    case state::ContainerRecord::RUNNING: return "running";
    case state::ContainerRecord::EXITED: return "exited";
    case state::ContainerRecord::CREATED: return "created";
    default: return "being removed";
  }
}

bool StopWanted(const Container& container) {
  if (!container.pod->Ready()) return true;
  absl::MutexLock lock(&container.mutex);
  return absl::Now() >= container.kill_at;
}

}  // namespace

absl::Status PodManager::StartContainer(const v1::StartContainerRequest& request,
                                        v1::StartContainerResponse*,
                                        const Cancel& cancel) {
  CRISP_ASSIGN_OR_RETURN(const ContainerPtr container, containers_.Find(request.container_id()));
  const auto start = [&]() -> absl::StatusOr<bool> {
    CRISP_ASSIGN_OR_RETURN(const std::shared_ptr<runtime::Shim> shim, FindReadyPod(container->pod->id));
    const v1::NamespaceOption options =
        container->Snapshot()->config().linux().security_context().namespace_options();
    // It may have ended since CreateContainer looked, and its pid may be another's.
    if (options.pid() == v1::TARGET) CRISP_RETURN_IF_ERROR(FindRunning(options.target_id()).status());
    {
      absl::MutexLock lock(&container->mutex);
      if (container->record->stage() != state::ContainerRecord::CREATED || container->removing) {
        return absl::FailedPreconditionError(
            absl::StrCat("container ", container->id, " is ", StageName(container->record->stage()),
                         "; only a created one can be started"));
      }
      container->starting = true;
    }
    StepTimer timer("StartContainer", container->steps, metrics_);
    // Who stops it does not wait for a shim that does not answer.
    const auto stopped = [container] {
      absl::MutexLock lock(&container->mutex);
      return absl::Now() >= container->kill_at + kStoppedStart;
    };
    auto started = shim->StartContainer(container->id, Cancel(absl::Now() + kStartTime, stopped));
    timer.Done("shim");
    const absl::Status status = FinishStart(container, std::move(started));
    if (!status.ok()) return status;
    timer.Done("publish");
    return true;
  };
  return starts_.Run(absl::StrCat("start of container ", container->id), cancel, start).status();
}

absl::Status PodManager::FinishStart(const ContainerPtr& container,
                                     absl::StatusOr<runtime::StartedProcess> started) {
  const int64_t now = absl::ToUnixNanos(absl::Now());
  absl::Status status = started.status();
  if (!status.ok() && StopWanted(*container)) {
    status = absl::FailedPreconditionError(
        absl::StrCat("it or its pod sandbox was stopped meanwhile (", status.message(), ")"));
  }
  if (!status.ok()) {
    // Also after an answer that never came: whatever runs there is nobody's.
    const absl::Status killed = CgroupAt(container->Snapshot()->cgroup_path()).KillOnce();
    if (!killed.ok()) LogWarning("container.kill", {{"container", container->id}, {"error", killed.ToString()}});
  }
  const absl::Status saved = Change(*container, [&](state::ContainerRecord& record) {
    record.set_started_at(status.ok() ? absl::ToUnixNanos(started->started_at) : now);
    if (status.ok()) {
      record.set_stage(state::ContainerRecord::RUNNING);
      record.set_pid(started->pid);
      return;
    }
    record.set_stage(state::ContainerRecord::EXITED);
    record.set_finished_at(now);
    record.set_exit_code(128);
    record.set_reason("StartError");
    record.set_message(std::string(status.message()));
  });
  std::optional<runtime::ExitRecord> early;
  int signal = 0;
  {
    absl::MutexLock lock(&container->mutex);
    container->starting = false;
    // A fresh group has used nothing: the first statistics can already tell a rate.
    if (status.ok()) {
      if (started->pidfd) container->pidfd = std::make_shared<const UniqueFd>(std::move(started->pidfd));
      container->cpu.Add(started->started_at, 0);
      container->oom_kills_seen = 0;
    }
    early = std::exchange(container->early_exit, std::nullopt);
    // A stop that came too early to signal it.
    if (status.ok() && container->kill_at != absl::InfiniteFuture() && !container->signalled) {
      signal = container->record->stop_signal();
      container->signalled = true;
    }
  }
  if (!status.ok()) {
    LogWarning("container.start.failed", {{"container", container->id}, {"error", status.ToString()}});
    Publish(container->pod, container->id, v1::CONTAINER_STOPPED_EVENT);
    return status;
  }
  // An update may have come between creation and start.
  const auto held_now_running = container->Snapshot();
  const state::ContainerRecord& now_running = *held_now_running;
  ApplyOomScore(now_running, now_running.config().linux().resources().oom_score_adj());
  // A row that could not be written is made good by the next one; the container runs.
  (void)saved;
  Publish(container->pod, container->id, v1::CONTAINER_STARTED_EVENT);
  if (signal != 0) {
    const absl::Status sent = SignalInit(*container, signal);
    if (!sent.ok()) LogWarning("container.signal", {{"container", container->id}, {"error", sent.ToString()}});
  }
  if (early.has_value()) {
    quick_.Post([this, container, record = *early] { HandleExit(container, record, ""); });
  }
  return absl::OkStatus();
}

}  // namespace crisp::cri
