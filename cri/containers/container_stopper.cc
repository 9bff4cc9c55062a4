#include "cri/containers/container_stopper.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/containers/container_pauser.h"
#include "cri/state/life_log.h"
#include "cri/state/step_timer.h"

namespace crisp::cri {
namespace {

// The time for a shim to tell of an exit. A container of which nothing is left has ended, told or
// not.
constexpr absl::Duration kNewsTime = absl::Seconds(2);

}  // namespace

absl::Status SignalInit(const Container& container, int signal) {
  if (const std::shared_ptr<const UniqueFd> pidfd = container.Pidfd(); pidfd != nullptr) {
    if (syscall(SYS_pidfd_send_signal, pidfd->get(), signal, nullptr, 0) == 0 || errno == ESRCH) {
      return absl::OkStatus();
    }
    return ErrnoError(errno, absl::StrCat("send signal ", signal, " to container ", container.id));
  }
  const std::shared_ptr<runtime::PodHandle> handle = container.pod->Handle();
  return handle == nullptr ? absl::UnavailableError("the shim is gone or cannot be reached")
                           : handle->Signal(container.id, signal);
}

void ContainerStopper::Thaw(const Pod& pod) const {
  const auto record = pod.Snapshot();
  const std::string& parent = record->config().linux().cgroup_parent();
  absl::Status thawed = node_.CgroupAt(record->cgroup_path()).ThawIfFrozen();
  if (runtime::DriverOfPod(parent, record->cgroup_path()) == runtime::CgroupDriver::kSystemd &&
      !parent.empty()) {
    const absl::StatusOr<std::string> scope = runtime::PodScopePath(parent, pod.id);
    thawed.Update(scope.ok() ? node_.CgroupAt(*scope).ThawIfFrozen() : scope.status());
  }
  if (!thawed.ok()) LogPod(LogLevel::kWarning, "pod.thaw", pod, {{"error", thawed.ToString()}});
}

absl::Status ContainerStopper::Stop(const ContainerPtr& container,
                                    absl::Duration grace,
                                    const Operation& operation) {
  CRISP_RETURN_IF_ERROR(container->pod->runtime->Usable());
  StepTimer timer("StopContainer", container->steps, node_.metrics);
  Request(container, grace);
  timer.Done("signal");
  CRISP_RETURN_IF_ERROR(Await(container, operation));
  timer.Done("exit");
  return absl::OkStatus();
}

void ContainerStopper::Request(const ContainerPtr& container, absl::Duration timeout) {
  bool signal_now = false;
  int signal = SIGTERM;
  absl::Time due;
  std::shared_ptr<CancelSource> start;
  {
    absl::MutexLock lock(&container->mutex);
    if (!container->Runs()) return;
    const bool running = container->record->stage() == state::ContainerRecord::RUNNING;
    due = absl::Now() + timeout;
    // Only an earlier end is news: the job for the present one is under way.
    if (due >= container->kill_at) return;
    container->kill_at = due;
    signal = container->record->stop_signal();
    if (running && timeout > absl::ZeroDuration() && !container->signalled) {
      signal_now = container->signalled = true;
    }
    start = container->starting;
  }
  // Who stops it does not wait for a shim that does not answer.
  if (start != nullptr) timers_.PostAt(due + kStoppedStart, [start] { start->Cancel(); });
  Thaw(*container->pod);
  if (timeout <= absl::ZeroDuration()) return Escalate(container, 0);
  // First: the signal may have to wait for a shim.
  timers_.PostAt(due, [this, container] { Escalate(container, 0); });
  if (!signal_now) return;
  absl::Status sent = SignalInit(*container, signal);
  // The signal waits in a paused container. Thawed before it, the container would go on for a
  // while.
  sent.Update(UnpauseForSignal(table_, *container));
  if (!sent.ok()) {
    LogContainer(LogLevel::kWarning, "container.signal", *container, {{"error", sent.ToString()}});
  }
}

void ContainerStopper::Escalate(const ContainerPtr& container, int round) {
  std::shared_ptr<const state::ContainerRecord> record;
  {
    absl::MutexLock lock(&container->mutex);
    if (!container->Runs() || absl::Now() < container->kill_at) return;
    record = container->record;
  }
  absl::Status killed = container->pod->runtime->KillOnce(RefTo(*container->pod, *record));
  if (!killed.ok() && SignalInit(*container, SIGKILL).ok()) killed = absl::OkStatus();
  if (ConcludeExit(container)) return;
  if (round == 100) {
    LogContainer(LogLevel::kWarning, "container.unkillable", *container,
                 {{"error", killed.ToString()}});
  }
  {
    absl::MutexLock lock(&container->mutex);
    container->kill_error = killed.ok() ? "" : killed.ToString();
  }
  const absl::Duration pause = std::min(absl::Milliseconds(10) * (round + 1), absl::Seconds(1));
  timers_.PostAt(absl::Now() + pause, [this, container, round] { Escalate(container, round + 1); });
}

bool ContainerStopper::ConcludeExit(const ContainerPtr& container) {
  std::shared_ptr<const state::ContainerRecord> record;
  {
    absl::MutexLock lock(&container->mutex);
    const bool starts = container->phase == Container::Phase::kStarting;
    if (!container->Runs() || starts || absl::Now() < container->kill_at + kNewsTime) return false;
    record = container->record;
  }
  const absl::StatusOr<bool> empty =
      container->pod->runtime->IsEmpty(RefTo(*container->pod, *record));
  if (!empty.ok() || !*empty) return false;
  const auto written =
      runtime::ReadExitRecord(node_.ExitRecordPath(container->pod->id, container->id));
  if (!written.ok()) LogContainer(LogLevel::kWarning, "container.exit_untold", *container);
  exits_.Handle(container,
                written.ok() ? *written
                             : runtime::ExitRecord{.exit_code = 128 + SIGKILL,
                                                   .signal = SIGKILL,
                                                   .exited_at = absl::Now()},
                "");
  return true;
}

absl::Status ContainerStopper::Await(const ContainerPtr& container, const Operation& operation) {
  const OperationWait wait(operation, container->mutex);
  absl::MutexLock lock(&container->mutex);
  const auto ended = [&container] {
    container->mutex.AssertReaderHeld();
    return !container->Runs();
  };
  if (wait.Await(absl::Condition(&ended))) return absl::OkStatus();
  absl::Status status = operation.Error(absl::StrCat("stop of container ", container->id));
  if (absl::Now() < container->kill_at) return status;
  return absl::Status(status.code(),
                      absl::StrCat(status.message(), "; it was killed and is not gone yet ",
                                   container->kill_error, " (killing goes on)"));
}

absl::Status ContainerStopper::KillAllOf(const Pod& pod, const Operation& operation) {
  const std::vector<ContainerPtr> containers = table_.ContainersOf(pod);
  for (const ContainerPtr& container : containers) Request(container, absl::ZeroDuration());
  for (const ContainerPtr& container : containers) {
    CRISP_RETURN_IF_ERROR(Await(container, operation));
  }
  return absl::OkStatus();
}

}  // namespace crisp::cri
