#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/pod_manager.h"

namespace crisp::cri {
namespace {

// What a shim may take to tell of an exit. With nothing left of a container it has ended, told or not.
constexpr absl::Duration kNewsTime = absl::Seconds(2);

}  // namespace

absl::Status PodManager::StopContainer(const v1::StopContainerRequest& request,
                                       v1::StopContainerResponse*,
                                       const Cancel& cancel) {
  absl::StatusOr<ContainerPtr> container = containers_.Find(request.container_id());
  if (absl::IsNotFound(container.status())) return absl::OkStatus();
  if (!container.ok()) return container.status();
  // A grace of more than a century is none that ends; it must not overflow the clock.
  const int64_t grace = std::clamp<int64_t>(request.timeout(), 0, int64_t{1} << 32);
  StepTimer timer("StopContainer", (*container)->steps, metrics_);
  RequestStop(*container, absl::Seconds(grace));
  timer.Done("signal");
  CRISP_RETURN_IF_ERROR(AwaitExit(*container, cancel));
  timer.Done("exit");
  return absl::OkStatus();
}

void PodManager::RequestStop(const ContainerPtr& container, absl::Duration timeout) {
  bool signal_now = false;
  int signal = SIGTERM;
  absl::Time due;
  {
    absl::MutexLock lock(&container->mutex);
    const bool running = container->record->stage() == state::ContainerRecord::RUNNING;
    if (!running && !container->starting) return;
    due = absl::Now() + timeout;
    // Only an earlier end is news: the job for the present one is under way.
    if (due >= container->kill_at) return;
    container->kill_at = due;
    signal = container->record->stop_signal();
    if (running && timeout > absl::ZeroDuration() && !container->signalled) {
      signal_now = container->signalled = true;
    }
  }
  ThawPod(*container->pod);
  if (timeout <= absl::ZeroDuration()) return Escalate(container, 0);
  // First: the signal may have to wait for a shim.
  quick_.PostAt(due, [this, container] { Escalate(container, 0); });
  if (!signal_now) return;
  const absl::Status sent = SignalInit(*container, signal);
  if (!sent.ok()) {
    LogWarning("container.signal", {{"container", container->id}, {"error", sent.ToString()}});
  }
}

absl::Status PodManager::SignalInit(Container& container, int signal) {
  std::shared_ptr<const UniqueFd> pidfd;
  {
    absl::MutexLock lock(&container.mutex);
    pidfd = container.pidfd;
  }
  if (pidfd != nullptr) {
    if (syscall(SYS_pidfd_send_signal, pidfd->get(), signal, nullptr, 0) == 0 || errno == ESRCH) {
      return absl::OkStatus();
    }
    return ErrnoError(errno, absl::StrCat("send signal ", signal, " to container ", container.id));
  }
  const std::shared_ptr<runtime::Shim> shim = container.pod->GetShim();
  return shim == nullptr ? absl::UnavailableError("the shim is gone or cannot be reached")
                         : shim->Signal(container.id, signal);
}

void PodManager::Escalate(const ContainerPtr& container, int round) {
  std::string cgroup;
  {
    absl::MutexLock lock(&container->mutex);
    const bool running = container->record->stage() == state::ContainerRecord::RUNNING;
    if (!running && !container->starting) return;
    if (absl::Now() < container->kill_at) return;
    cgroup = container->record->cgroup_path();
  }
  absl::Status killed = CgroupAt(cgroup).KillOnce();
  if (!killed.ok() && SignalInit(*container, SIGKILL).ok()) killed = absl::OkStatus();
  if (ConcludeExit(container)) return;
  if (round == 100) {
    LogWarning("container.unkillable", {{"container", container->id}, {"error", killed.ToString()}});
  }
  {
    absl::MutexLock lock(&container->mutex);
    container->kill_error = killed.ok() ? "" : killed.ToString();
  }
  const absl::Duration pause = std::min(absl::Milliseconds(10) * (round + 1), absl::Seconds(1));
  quick_.PostAt(absl::Now() + pause, [this, container, round] { Escalate(container, round + 1); });
}

bool PodManager::ConcludeExit(const ContainerPtr& container) {
  std::string cgroup;
  {
    absl::MutexLock lock(&container->mutex);
    const bool running = container->record->stage() == state::ContainerRecord::RUNNING;
    if (!running || container->starting || absl::Now() < container->kill_at + kNewsTime) return false;
    cgroup = container->record->cgroup_path();
  }
  const absl::StatusOr<bool> empty = CgroupAt(cgroup).IsEmpty();
  if (!empty.ok() || !*empty) return false;
  const auto written = runtime::ReadExitRecord(ExitRecordPath(container->pod->id, container->id));
  if (!written.ok()) LogWarning("container.exit_untold", {{"container", container->id}});
  HandleExit(container,
             written.ok() ? *written
                          : runtime::ExitRecord{.exit_code = 128 + SIGKILL, .signal = SIGKILL, .exited_at = absl::Now()},
             "");
  return true;
}

absl::Status PodManager::AwaitExit(const ContainerPtr& container, const Cancel& cancel) {
  absl::MutexLock lock(&container->mutex);
  const auto ended = [&container] {
    container->mutex.AssertReaderHeld();
    return container->record->stage() != state::ContainerRecord::RUNNING && !container->starting;
  };
  while (!ended()) {
    const absl::Time step = std::min(absl::Now() + absl::Milliseconds(200), cancel.deadline());
    if (container->mutex.AwaitWithDeadline(absl::Condition(&ended), step)) break;
    absl::Status status = cancel.Check(absl::StrCat("stop of container ", container->id));
    if (status.ok()) continue;
    if (absl::Now() >= container->kill_at) {
      return absl::Status(status.code(),
                          absl::StrCat(status.message(), "; it was killed and is not gone yet ",
                                       container->kill_error, " (killing goes on)"));
    }
    return status;
  }
  return absl::OkStatus();
}

}  // namespace crisp::cri
