// Compares the shims' reports of their containers with the records.
#include <sys/syscall.h>
#include <unistd.h>

#include <map>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/pods/shim_keeper.h"
#include "cri/state/life_log.h"

namespace crisp::cri {
namespace {

// The group of a container's first process, in the hierarchy that decides; "" if the kernel cannot
// say.
std::string GroupOfProcess(const runtime::CgroupLayout& layout,
                           const runtime::ContainerReport& report) {
  if (report.pid <= 0) return "";
  const absl::StatusOr<std::string> text = ReadFile(absl::StrCat("/proc/", report.pid, "/cgroup"));
  if (!text.ok()) return "";
  // Once it has ended the number may be another's.
  const int pidfd = report.pidfd.get();
  if (pidfd >= 0 && syscall(SYS_pidfd_send_signal, pidfd, 0, nullptr, 0) != 0) return "";
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const std::vector<absl::string_view> controllers = absl::StrSplit(parts[1], ',');
    const bool primary =
        layout.v2 ? parts[1].empty()
                  : !parts[1].empty() && layout.Find(controllers[0]) == &layout.Primary();
    if (primary) return parts[2].size() > 1 ? std::string(parts[2]) : "";
  }
  return "";
}

}  // namespace

absl::Status ShimKeeper::TakeOver(const PodPtr& pod,
                                  const std::shared_ptr<runtime::PodHandle>& handle) {
  CRISP_ASSIGN_OR_RETURN(std::vector<runtime::ContainerReport> reports, handle->Report());
  CRISP_ASSIGN_OR_RETURN(std::vector<runtime::ContainerReport> unknown,
                         UnknownOf(*handle, reports));
  table_.Note(*pod, [&handle](state::PodRecord& edited) { edited.set_shim_pid(handle->pid()); });
  {
    absl::MutexLock lock(&pod->mutex);
    if (!pod->adopting) return absl::OkStatus();  // stopped meanwhile, and the shim with it
    pod->handle = handle;
    pod->adopting = false;
  }
  std::map<std::string, runtime::ContainerReport*> by_id;
  for (runtime::ContainerReport& report : reports) by_id[report.container_id] = &report;
  for (const ContainerPtr& container : table_.ContainersOf(*pod)) {
    auto it = by_id.find(container->id);
    Reconcile(container, it == by_id.end() ? nullptr : it->second);
  }
  for (runtime::ContainerReport& report : unknown) TakeUnknown(pod, report);
  // It may have been lost before anybody could be told.
  if (!handle->connected()) HandleLost(pod);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<runtime::ContainerReport>> ShimKeeper::UnknownOf(
    runtime::PodHandle& handle, const std::vector<runtime::ContainerReport>& reports) const {
  absl::flat_hash_set<std::string> without_row;
  for (const runtime::ContainerReport& report : reports) {
    const absl::StatusOr<bool> known = table_.HasRow(report.container_id);
    if (known.ok() && !*known) without_row.insert(report.container_id);
  }
  std::vector<runtime::ContainerReport> unknown;
  if (without_row.empty()) return unknown;
  // A container has its row before the shim knows it, and loses it after that: one whose undoing
  // ended since the first report is not in a second one.
  CRISP_ASSIGN_OR_RETURN(std::vector<runtime::ContainerReport> again, handle.Report());
  for (runtime::ContainerReport& report : again) {
    if (without_row.contains(report.container_id)) unknown.push_back(std::move(report));
  }
  return unknown;
}

void ShimKeeper::TakeUnknown(const PodPtr& pod, runtime::ContainerReport& report) {
  const bool lives = report.state == runtime::ContainerReport::State::kRunning;
  const auto path = runtime::ContainerCgroupPath(node_.options.cgroup_driver,
                                                 pod->Snapshot()->config().linux().cgroup_parent(),
                                                 pod->id, report.container_id);
  const std::string group = GroupOfProcess(*node_.layout, report);
  state::ContainerRecord record =
      UnknownContainer(pod->id, report.container_id, group.empty() ? path.value_or("") : group);
  if (!lives) record.set_stage(state::ContainerRecord::REMOVING);
  for (const std::string& pinned : node_.images->PinnedKeys()) {
    if (absl::StartsWith(pinned, report.container_id + "-")) record.add_view_keys(pinned);
  }
  const std::string key = ContainerNameKey(pod->id, record.config().metadata());
  auto container = std::make_shared<Container>(std::move(record), key, pod);
  if (!lives) {
    LogContainer(LogLevel::kWarning, "recover.undone_container", *container,
                 {{"reason", "no record tells of it, and it does not run"}});
    (void)table_.Add(*container);
    remover_.UndoLater(container);
    return;
  }
  LogContainer(LogLevel::kError, "recover.unknown_container", *container);
  if (!table_.Add(*container).ok()) return;
  table_.Show(container);
  Reconcile(container, &report);
}

// A shim of former days says the number only: it is the container's if its process is in the
// container's group after a pidfd has pinned it.
void ShimKeeper::HoldProcess(Container& container, runtime::ContainerReport& report) {
  UniqueFd pidfd = std::move(report.pidfd);
  if (!pidfd) {
    pidfd.reset(static_cast<int>(syscall(SYS_pidfd_open, report.pid, 0)));
    if (!pidfd || !node_.CgroupAt(container.Snapshot()->cgroup_path()).Contains(report.pid)) return;
  }
  absl::MutexLock lock(&container.mutex);
  const ContainerStage stage = container.record->stage();
  if (stage != state::ContainerRecord::CREATED && stage != state::ContainerRecord::RUNNING) return;
  container.pidfd = std::make_shared<const UniqueFd>(std::move(pidfd));
}

void ShimKeeper::ReconcileRunning(const ContainerPtr& container, runtime::ContainerReport& report) {
  HoldProcess(*container, report);
  const auto record = container->Snapshot();
  if (record->stage() == state::ContainerRecord::RUNNING && record->pid() == report.pid) return;
  const auto fill = [&report](state::ContainerRecord& r) {
    r.set_pid(report.pid);
    if (r.started_at() == 0) r.set_started_at(absl::ToUnixNanos(report.started_at));
  };
  if (!table_.Advance(*container, Mover::kRecovery, state::ContainerRecord::RUNNING, fill).done) {
    (void)table_.Change(*container, [&fill](state::ContainerRecord& r) {
      if (r.stage() == state::ContainerRecord::RUNNING) fill(r);
    });
  }
  // An exit that was told while the row did not say "running" yet was passed over.
  const auto since =
      runtime::ReadExitRecord(node_.ExitRecordPath(container->pod->id, container->id));
  if (since.ok()) exits_.Handle(container, *since, "");
}

void ShimKeeper::Reconcile(const ContainerPtr& container, runtime::ContainerReport* report) {
  using State = runtime::ContainerReport::State;
  const auto held = container->Snapshot();
  const state::ContainerRecord& record = *held;
  {
    absl::MutexLock lock(&container->mutex);
    if (container->phase == Container::Phase::kStarting) return;  // whoever starts it will say
  }
  const bool live = record.stage() == state::ContainerRecord::RUNNING ||
                    record.stage() == state::ContainerRecord::CREATED;
  if (!live) {
    // A start that was given up, or an answer to it that was lost: what runs is nobody's.
    if (report != nullptr && report->state == State::kRunning)
      (void)container->pod->runtime->KillOnce(RefTo(*container->pod, record));
    return;
  }
  if (report != nullptr && report->state == State::kCreated) return;
  if (report != nullptr && report->state == State::kRunning)
    return ReconcileRunning(container, *report);
  absl::StatusOr<runtime::ExitRecord> exit =
      report != nullptr
          ? absl::StatusOr<runtime::ExitRecord>(report->exit)
          : runtime::ReadExitRecord(node_.ExitRecordPath(container->pod->id, container->id));
  if (!exit.ok() && record.stage() == state::ContainerRecord::CREATED) return;
  // It ended, and the shim that could have said how is gone, too. Its leftovers die before that is
  // told.
  std::string reason;
  if (!exit.ok()) {
    const absl::Status killed = container->pod->runtime->KillAll(
        RefTo(*container->pod, record), Operation(absl::Now() + absl::Seconds(2)));
    if (!killed.ok())
      LogContainer(LogLevel::kError, "recover.kill", *container, {{"error", killed.ToString()}});
    // The kernel's SIGKILL may have been recorded while we waited.
    exit = runtime::ReadExitRecord(node_.ExitRecordPath(container->pod->id, container->id));
    if (!exit.ok()) {
      exit = runtime::ExitRecord{.exit_code = 255, .exited_at = absl::Now()};
      reason = "Unknown";
    }
  }
  if (record.stage() == state::ContainerRecord::CREATED) {
    // The daemon died between the start and its row.
    (void)table_.Advance(*container, Mover::kRecovery, state::ContainerRecord::RUNNING,
                         [&](state::ContainerRecord& r) {
                           r.set_started_at(absl::ToUnixNanos(report != nullptr ? report->started_at
                                                                                : exit->exited_at));
                         });
  }
  exits_.Handle(container, *exit, reason);
}

}  // namespace crisp::cri
