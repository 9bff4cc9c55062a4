#include "cri/containers/container_exits.h"

#include <string.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/state/life_log.h"

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

void LogExit(const Container& container,
             const runtime::ExitRecord& exit,
             const std::string& reason,
             absl::Time started_at) {
  const char* const signal = sigabbrev_np(exit.signal);
  LogContainer(LogLevel::kInfo, "container.exited", container,
               {{"code", exit.exit_code},
                {"reason", reason},
                {"signal", exit.signal == 0    ? "none"
                           : signal == nullptr ? absl::StrCat(exit.signal)
                                               : absl::StrCat("SIG", signal)},
                {"ran", started_at == absl::UnixEpoch()
                            ? "unknown"
                            : absl::FormatDuration(exit.exited_at - started_at)}});
}

}  // namespace

void ContainerExits::Handle(const ContainerPtr& container,
                            const runtime::ExitRecord& exit,
                            const std::string& reason) {
  if (!PodTable::BeginEnd(*container, exit)) return;
  const auto held_before = container->Snapshot();
  const state::ContainerRecord& before = *held_before;
  runtime::PodRuntime& runtime = *container->pod->runtime;
  const runtime::ContainerRef ref = RefTo(*container->pod, before);
  if (!OwnPidNamespace(before)) {
    const absl::Status killed = runtime.KillAll(ref, Operation(absl::Now() + absl::Seconds(2)));
    if (!killed.ok()) {
      LogContainer(LogLevel::kWarning, "container.leftover", *container,
                   {{"error", killed.ToString()}});
    }
  }
  // The count stands until the container is removed, so it cannot be missed.
  const absl::StatusOr<uint64_t> oom_kills = runtime.OomKills(ref);
  if (oom_kills.ok()) ooms_.SawLast(*container, *oom_kills);
  executions_.FinishAllOf(container->id, exit.exited_at);
  const std::string why =
      !reason.empty() ? reason : ReasonOf(exit, oom_kills.ok() && *oom_kills > 0);
  (void)table_.Advance(*container, Mover::kExit, state::ContainerRecord::EXITED,
                       [&](state::ContainerRecord& record) {
                         record.set_pid(0);
                         record.set_paused(false);
                         record.set_exit_code(exit.exit_code);
                         record.set_finished_at(absl::ToUnixNanos(exit.exited_at));
                         record.set_reason(why);
                       });
  PodTable::EndEnd(*container);
  LogExit(*container, exit, why, absl::FromUnixNanos(before.started_at()));
  events_.Tell(LifePoint::kContainerExited, *container);
}

}  // namespace crisp::cri
