#include "cri/containers/container_starter.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/containers/container_stopper.h"
#include "cri/state/life_log.h"
#include "cri/state/step_timer.h"

namespace crisp::cri {
namespace {

constexpr absl::Duration kStartTime = absl::Minutes(4);

bool StopWanted(const Container& container) {
  if (!container.pod->Ready()) return true;
  absl::MutexLock lock(&container.mutex);
  return absl::Now() >= container.kill_at;
}

}  // namespace

absl::Status ContainerStarter::Start(const ContainerPtr& container, const Operation& operation) {
  return starts_
      .Run(absl::StrCat("start of container ", container->id), operation,
           [&] { return StartOnce(container); })
      .status();
}

absl::StatusOr<bool> ContainerStarter::StartOnce(const ContainerPtr& container) {
  CRISP_ASSIGN_OR_RETURN(const std::shared_ptr<runtime::PodHandle> handle,
                         table_.FindReadyPod(container->pod->id));
  const v1::NamespaceOption options =
      container->Snapshot()->config().linux().security_context().namespace_options();
  // It may have ended since CreateContainer looked, and its pid may be another's.
  if (options.pid() == v1::TARGET)
    CRISP_RETURN_IF_ERROR(table_.FindRunning(options.target_id()).status());
  CRISP_RETURN_IF_ERROR(PodTable::BeginStart(*container));
  StepTimer timer("StartContainer", container->steps, node_.metrics);
  auto started = handle->Start(container->id, UntilStopped(*container));
  timer.Done("shim");
  const absl::Status status = Finish(container, std::move(started));
  if (!status.ok()) return status;
  timer.Done("publish");
  return true;
}

Operation ContainerStarter::UntilStopped(Container& container) {
  auto source = std::make_shared<CancelSource>();
  absl::MutexLock lock(&container.mutex);
  container.starting = source;
  // A stop may have come before it could be told whom to cancel.
  return source->operation().Until(
      std::min(absl::Now() + kStartTime, container.kill_at + kStoppedStart));
}

absl::Status ContainerStarter::Finish(const ContainerPtr& container,
                                      absl::StatusOr<runtime::StartedProcess> started) {
  const int64_t now = absl::ToUnixNanos(absl::Now());
  absl::Status status = started.status();
  if (!status.ok() && StopWanted(*container)) {
    status = absl::FailedPreconditionError(
        absl::StrCat("it or its pod sandbox was stopped meanwhile (", status.message(), ")"));
  }
  if (!status.ok()) {
    // Also after an answer that never came: whatever runs there is nobody's.
    const absl::Status killed =
        container->pod->runtime->KillOnce(RefTo(*container->pod, *container->Snapshot()));
    if (!killed.ok())
      LogContainer(LogLevel::kWarning, "container.kill", *container,
                   {{"error", killed.ToString()}});
  }
  const ContainerStage stage =
      status.ok() ? state::ContainerRecord::RUNNING : state::ContainerRecord::EXITED;
  // A row that could not be written is made good by the next one; the container runs.
  (void)table_.Advance(*container, Mover::kStarter, stage, [&](state::ContainerRecord& record) {
    record.set_started_at(status.ok() ? absl::ToUnixNanos(started->started_at) : now);
    if (status.ok()) {
      record.set_pid(started->pid);
      return;
    }
    record.set_finished_at(now);
    record.set_exit_code(128);
    record.set_reason(kStartError);
    record.set_message(std::string(status.message()));
  });
  std::optional<runtime::ExitRecord> early;
  const int signal = Settle(*container, started, &early);
  if (!status.ok()) {
    LogContainer(LogLevel::kWarning, "container.start.failed", *container,
                 {{"error", status.ToString()}});
    events_.Tell(LifePoint::kContainerExited, *container);
    // Nothing to tell unless somebody has found it running meanwhile.
    if (early.has_value()) {
      quick_.Post([this, container, record = *early] { exits_.Handle(container, record, ""); });
    }
    return status;
  }
  // An update may have come between creation and start.
  const auto running = container->Snapshot();
  updates_.ApplyOomScore(*running, running->config().linux().resources().oom_score_adj());
  events_.Tell(LifePoint::kContainerStarted, *container);
  LogContainer(LogLevel::kInfo, "container.started", *container, {{"pid", running->pid()}});
  if (signal != 0) {
    const absl::Status sent = SignalInit(*container, signal);
    if (!sent.ok())
      LogContainer(LogLevel::kWarning, "container.signal", *container,
                   {{"error", sent.ToString()}});
  }
  if (early.has_value()) {
    quick_.Post([this, container, record = *early] { exits_.Handle(container, record, ""); });
  }
  return absl::OkStatus();
}

int ContainerStarter::Settle(Container& container,
                             absl::StatusOr<runtime::StartedProcess>& started,
                             std::optional<runtime::ExitRecord>* early) {
  absl::MutexLock lock(&container.mutex);
  container.phase = Container::Phase::kSettled;
  container.starting = nullptr;
  *early = std::exchange(container.early_exit, std::nullopt);
  if (!started.ok()) return 0;
  if (started->pidfd) container.pidfd = std::make_shared<const UniqueFd>(std::move(started->pidfd));
  // A fresh group has used nothing: the first statistics can already tell a rate.
  container.cpu.Add(started->started_at, 0);
  container.oom_kills_seen = 0;
  if (container.kill_at == absl::InfiniteFuture() || container.signalled) return 0;
  container.signalled = true;
  return container.record->stop_signal();
}

}  // namespace crisp::cri
