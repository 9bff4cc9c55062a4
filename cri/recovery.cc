#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/pod_manager.h"
#include "runtime/shim_finder.h"

namespace crisp::cri {
namespace {

// For a shim to answer; the first time, while others wait for their turn, and later.
constexpr absl::Duration kFirstAdoptTime = absl::Seconds(2);
constexpr absl::Duration kAdoptTime = absl::Seconds(10);
// As long as shims answer one after the other in such short times, serving waits for them.
constexpr absl::Duration kAdoptionPause = absl::Milliseconds(250);

// Where the kernel has the process, in the hierarchy that decides; "" when that cannot be said.
std::string GroupOfProcess(const runtime::CgroupLayout& layout, pid_t pid) {
  const absl::StatusOr<std::string> text = ReadFile(absl::StrCat("/proc/", pid, "/cgroup"));
  if (pid <= 0 || !text.ok()) return "";
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const std::vector<absl::string_view> controllers = absl::StrSplit(parts[1], ',');
    const bool primary = layout.v2 ? parts[1].empty()
                                   : !parts[1].empty() && layout.Find(controllers[0]) == &layout.Primary();
    if (primary) return parts[2].size() > 1 ? std::string(parts[2]) : "";
  }
  return "";
}

}  // namespace

// How many adoptions have not been tried yet.
class PodManager::Countdown {
 public:
  explicit Countdown(size_t count) : left_(count) {}
  void Done() {
    absl::MutexLock lock(&mutex_);
    --left_;
  }
  // Until there is none left, or for `pause` none comes in.
  void Await(absl::Duration pause) {
    absl::MutexLock lock(&mutex_);
    while (left_ > 0) {
      const size_t before = left_;
      const auto fewer = [this, before] {
        mutex_.AssertReaderHeld();
        return left_ < before;
      };
      if (!mutex_.AwaitWithTimeout(absl::Condition(&fewer), pause)) return;
    }
  }

 private:
  absl::Mutex mutex_;
  size_t left_ ABSL_GUARDED_BY(mutex_);
};

absl::Status PodManager::Recover() {
  const absl::Time begin = absl::Now();
  CRISP_ASSIGN_OR_RETURN(RecordStore::Records records, records_->LoadAll());
  copies_.Restore(*records_, &records);
  CRISP_RETURN_IF_ERROR(AddUnknownPods(&records));
  struct Work {
    PodPtr pod;
    std::vector<ContainerPtr> containers;
  };
  absl::flat_hash_map<std::string, Work> by_id;
  // Of all rows, also of those that are undone: what these have is left to that.
  absl::flat_hash_set<std::string> keys, live;
  for (state::PodRecord& record : records.pods) {
    live.insert(record.id());
    const std::string key = PodNameKey(record.config().metadata());
    auto pod = std::make_shared<Pod>(std::move(record), key);
    by_id[pod->id].pod = pod;
  }
  for (state::ContainerRecord& record : records.containers) {
    keys.insert(record.id());
    keys.insert(record.view_keys().begin(), record.view_keys().end());
    auto owner = by_id.find(record.pod_id());
    if (owner == by_id.end()) {
      // Its pod's row was lost or is in quarantine: a stopped stand-in lets it be undone.
      LogError("recover.no_pod", {{"container", record.id()}, {"pod", record.pod_id()}});
      state::PodRecord lost;
      lost.set_id(record.pod_id());
      lost.set_stopped(true);
      record.set_stage(state::ContainerRecord::REMOVING);
      owner = by_id.try_emplace(record.pod_id()).first;
      owner->second.pod = std::make_shared<Pod>(std::move(lost), "");
    }
    const std::string key = ContainerNameKey(record.pod_id(), record.config().metadata());
    auto container = std::make_shared<Container>(std::move(record), key, owner->second.pod);
    owner->second.containers.push_back(std::move(container));
  }
  std::vector<const Work*> work;
  for (const auto& [id, item] : by_id) work.push_back(&item);
  const auto adoptions = std::make_shared<Countdown>(work.size());
  for (const Work* item : work) RecoverPod(item->pod, item->containers, adoptions);
  // Nearly all answer at once, and whoever asks then finds things as they are. Who does not answer
  // delays nobody else.
  adoptions->Await(kAdoptionPause);
  adoptions_.Post([this] { TakeStrays(); });
  SweepLeftovers(keys, live);
  LogInfo("recovered", {{"pods", pods_.size()},
                        {"containers", containers_.size()},
                        {"took", absl::FormatDuration(absl::Now() - begin)}});
  return absl::OkStatus();
}

state::PodRecord PodManager::RecordOfUnknown(const std::string& pod_id, bool lives) const {
  state::PodRecord record = UnknownPod(
      pod_id, runtime::PodCgroupPath(options_.cgroup_driver, "", pod_id).value_or(""));
  if (lives) {
    LogError("recover.unknown_pod", {{"pod", pod_id}});
  } else {
    LogWarning("recover.undone_pod", {{"pod", pod_id}, {"reason", "no record tells of it, and no process is in it"}});
    record.set_stage(state::PodRecord::REMOVING);
  }
  return record;
}

// Before a directory is undone, the kernel is asked what lives in it.
absl::Status PodManager::AddUnknownPods(RecordStore::Records* records) {
  const std::vector<std::string> unknown = copies_.WithoutRecord(*records);
  if (unknown.empty()) return absl::OkStatus();
  CRISP_ASSIGN_OR_RETURN(const std::vector<runtime::FoundShim> shims,
                         runtime::FindShims(options_.state + "/pods", ""));
  for (const std::string& id : unknown) {
    if (id.size() != 64 || !IsIdPrefix(id)) continue;  // no pod's: swept
    const bool lives = std::any_of(shims.begin(), shims.end(), [&id](const runtime::FoundShim& shim) {
      return shim.pod_id == id && shim.has_children;
    });
    records->pods.push_back(RecordOfUnknown(id, lives));
    CRISP_RETURN_IF_ERROR(records_->Put(records->pods.back()));
  }
  return absl::OkStatus();
}

void PodManager::TakeStrays() {
  const auto shims = runtime::FindShims(options_.state + "/pods", "");
  if (!shims.ok()) return;
  for (const runtime::FoundShim& shim : *shims) {
    // A pod has its row before its shim, and loses it after it: one that has been removed since the
    // shims were looked for has neither.
    const absl::StatusOr<bool> known = records_->Has(shim.pod_id);
    if (!known.ok() || *known || shim.HasEnded()) continue;
    state::PodRecord record = RecordOfUnknown(shim.pod_id, shim.has_children);
    if (!records_->Put(record).ok()) continue;
    const std::string key = PodNameKey(record.config().metadata());
    const auto pod = std::make_shared<Pod>(std::move(record), key);
    if (shim.has_children) {
      pods_.Insert(pod->id, pod);
    } else {
      cleanup_.UntilDone(absl::StrCat("undo of pod ", pod->id), [this, pod] { return TearDownPod(pod); });
    }
  }
}

absl::StatusOr<std::vector<runtime::ContainerReport>> PodManager::UnknownOf(
    runtime::Shim& shim, const std::vector<runtime::ContainerReport>& reports) const {
  absl::flat_hash_set<std::string> without_row;
  for (const runtime::ContainerReport& report : reports) {
    const absl::StatusOr<bool> known = records_->Has(report.container_id);
    if (known.ok() && !*known) without_row.insert(report.container_id);
  }
  std::vector<runtime::ContainerReport> unknown;
  if (without_row.empty()) return unknown;
  // A container has its row before the shim knows it, and loses it after that: one whose undoing ended
  // since the first report is not in a second one.
  CRISP_ASSIGN_OR_RETURN(std::vector<runtime::ContainerReport> again, shim.Report());
  for (runtime::ContainerReport& report : again) {
    if (without_row.contains(report.container_id)) unknown.push_back(std::move(report));
  }
  return unknown;
}

void PodManager::TakeUnknown(const PodPtr& pod, const runtime::ContainerReport& report) {
  const bool lives = report.state == runtime::ContainerReport::State::kRunning;
  const auto path = runtime::ContainerCgroupPath(
      options_.cgroup_driver, pod->Snapshot()->config().linux().cgroup_parent(), pod->id, report.container_id);
  const std::string group = GroupOfProcess(*layout_, report.pid);
  state::ContainerRecord record =
      UnknownContainer(pod->id, report.container_id, group.empty() ? path.value_or("") : group);
  if (!lives) record.set_stage(state::ContainerRecord::REMOVING);
  const std::string key = ContainerNameKey(pod->id, record.config().metadata());
  auto container = std::make_shared<Container>(std::move(record), key, pod);
  if (!lives) {
    LogWarning("recover.undone_container", {{"pod", pod->id}, {"container", container->id},
                                            {"reason", "no record tells of it, and it does not run"}});
    (void)Change(*container, [](state::ContainerRecord&) {});
    cleanup_.UntilDone(absl::StrCat("undo of container ", container->id),
                       [this, container] { return TearDownContainer(container); });
    return;
  }
  LogError("recover.unknown_container", {{"pod", pod->id}, {"container", container->id}});
  if (!Change(*container, [](state::ContainerRecord&) {}).ok()) return;
  ShowContainer(container);
  Reconcile(container, &report);
}

void PodManager::RecoverPod(const PodPtr& pod,
                            const std::vector<ContainerPtr>& containers,
                            const std::shared_ptr<Countdown>& adoptions) {
  const auto held = pod->Snapshot();
  const state::PodRecord& record = *held;
  const bool visible =
      record.stage() == state::PodRecord::READY || record.stage() == state::PodRecord::NOT_READY;
  mcs_.Reserve(record.selinux_level());
  if (record.owns_cgroup() && !record.config().linux().cgroup_parent().empty()) {
    absl::MutexLock lock(&groups_mutex_);
    ++own_groups_[record.cgroup_path()];
  }
  std::vector<ContainerPtr> kept;
  for (const ContainerPtr& container : containers) {
    const auto held_row = container->Snapshot();
    const state::ContainerRecord& row = *held_row;
    mcs_.Reserve(row.selinux_level());
    const bool keep = visible && row.stage() != state::ContainerRecord::MAKING &&
                      row.stage() != state::ContainerRecord::REMOVING;
    if (keep) kept.push_back(container);
  }
  // Before the shim is connected: from then on it tells exits, and those must find their container.
  if (visible) pods_.Insert(pod->id, pod);
  for (const ContainerPtr& container : kept) ShowContainer(container);
  if (visible && !record.stopped()) {
    {
      absl::MutexLock lock(&pod->mutex);
      pod->adopting = true;
    }
    AdoptSoon(pod, [adoptions] { adoptions->Done(); });
  } else {
    adoptions->Done();
  }
  if (visible) {
    absl::MutexLock lock(&names_mutex_);
    names_[pod->name_key] = pod->id;
    for (const ContainerPtr& container : kept) names_[container->name_key] = container->id;
  }
  for (const ContainerPtr& container : containers) {
    if (std::find(kept.begin(), kept.end(), container) != kept.end()) continue;
    cleanup_.UntilDone(absl::StrCat("undo of container ", container->id),
                       [this, container] { return TearDownContainer(container); });
  }
  if (!visible && !pod->name_key.empty()) {
    cleanup_.UntilDone(absl::StrCat("undo of pod ", pod->id), [this, pod] { return TearDownPod(pod); });
  }
}

void PodManager::AdoptSoon(const PodPtr& pod, std::function<void()> first) {
  adoptions_.Post([this, pod, first = std::move(first)] {
    const absl::Status adopted = AdoptShim(pod, kFirstAdoptTime);
    if (first != nullptr) first();
    if (adopted.ok()) return;
    // Nothing is proven: the pod stays as it is recorded, and the shim is asked again.
    LogError("recover.adopt", {{"pod", pod->id}, {"error", adopted.ToString()}});
    adoptions_.UntilDone(absl::StrCat("adoption of pod ", pod->id),
                         [this, pod] { return AdoptShim(pod, kAdoptTime); });
  });
}

absl::Status PodManager::AdoptShim(const PodPtr& pod, absl::Duration patience) {
  const auto settle = [&pod](std::shared_ptr<runtime::Shim> shim) {
    absl::MutexLock lock(&pod->mutex);
    pod->shim = std::move(shim);
    pod->adopting = false;
  };
  {
    absl::MutexLock lock(&pod->mutex);
    if (!pod->adopting) return absl::OkStatus();  // stopped meanwhile
  }
  const Cancel cancel(absl::Now() + patience, [this] { return stopping_.load(); });
  auto shim = shims_->AdoptPod(pod->id, PodDir(pod->id), cancel);
  const bool dead = absl::IsNotFound(shim.status());
  if (dead || absl::IsFailedPrecondition(shim.status())) {
    // Nobody will reach it any more. What it runs goes on until the pod is stopped.
    if (!dead) LogError("recover.unreachable", {{"pod", pod->id}, {"error", shim.status().ToString()}});
    settle(nullptr);
    absl::Status changed = Change(*pod, [dead](state::PodRecord& record) {
      if (record.stage() == state::PodRecord::READY) record.set_stage(state::PodRecord::NOT_READY);
      if (dead) record.set_shim_pid(0);
    });
    if (!dead) return absl::OkStatus();
    for (const ContainerPtr& container : ContainersOf(*pod)) Reconcile(container, nullptr);
    return absl::IsNotFound(changed) ? absl::OkStatus() : changed;
  }
  if (!shim.ok()) return shim.status();
  CRISP_ASSIGN_OR_RETURN(const std::vector<runtime::ContainerReport> reports, (*shim)->Report());
  CRISP_ASSIGN_OR_RETURN(const std::vector<runtime::ContainerReport> unknown, UnknownOf(**shim, reports));
  pod->Edit([&shim](state::PodRecord& edited) { edited.set_shim_pid((*shim)->pid()); });
  settle(*shim);
  std::map<std::string, const runtime::ContainerReport*> by_id;
  for (const runtime::ContainerReport& report : reports) by_id[report.container_id] = &report;
  for (const ContainerPtr& container : ContainersOf(*pod)) {
    auto it = by_id.find(container->id);
    Reconcile(container, it == by_id.end() ? nullptr : it->second);
  }
  for (const runtime::ContainerReport& report : unknown) TakeUnknown(pod, report);
  // It may have been lost before anybody could be told.
  if (!(*shim)->connected()) HandleShimLost(pod);
  return absl::OkStatus();
}

// The pid is the container's if its process is in the container's group after the pidfd has pinned it.
void PodManager::HoldProcess(Container& container, pid_t pid) {
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd || !CgroupAt(container.Snapshot()->cgroup_path()).Contains(pid)) return;
  absl::MutexLock lock(&container.mutex);
  container.pidfd = std::make_shared<const UniqueFd>(std::move(pidfd));
}

void PodManager::Reconcile(const ContainerPtr& container, const runtime::ContainerReport* report) {
  using State = runtime::ContainerReport::State;
  const auto held = container->Snapshot();
  const state::ContainerRecord& record = *held;
  {
    absl::MutexLock lock(&container->mutex);
    if (container->starting) return;  // whoever starts it will say
  }
  const bool live = record.stage() == state::ContainerRecord::RUNNING ||
                    record.stage() == state::ContainerRecord::CREATED;
  if (!live) {
    // A start that was given up, or an answer to it that was lost: what runs is nobody's.
    if (report != nullptr && report->state == State::kRunning) (void)CgroupAt(record.cgroup_path()).KillOnce();
    return;
  }
  if (report != nullptr && report->state == State::kCreated) return;
  if (report != nullptr && report->state == State::kRunning) {
    HoldProcess(*container, report->pid);
    if (record.stage() == state::ContainerRecord::RUNNING && record.pid() == report->pid) return;
    (void)Change(*container, [report](state::ContainerRecord& r) {
      r.set_stage(state::ContainerRecord::RUNNING);
      r.set_pid(report->pid);
      if (r.started_at() == 0) r.set_started_at(absl::ToUnixNanos(report->started_at));
    });
    // An exit that was told while the row did not say "running" yet was passed over.
    const auto since = runtime::ReadExitRecord(ExitRecordPath(container->pod->id, container->id));
    if (since.ok()) HandleExit(container, *since, "");
    return;
  }
  absl::StatusOr<runtime::ExitRecord> exit =
      report != nullptr ? absl::StatusOr<runtime::ExitRecord>(report->exit)
                        : runtime::ReadExitRecord(ExitRecordPath(container->pod->id, container->id));
  if (!exit.ok() && record.stage() == state::ContainerRecord::CREATED) return;
  // It ended, and who could have said how is gone, too. What it left dies before that is said.
  std::string reason;
  if (!exit.ok()) {
    const absl::Status killed =
        CgroupAt(record.cgroup_path()).Kill(Cancel(absl::Now() + absl::Seconds(2)));
    if (!killed.ok()) LogError("recover.kill", {{"container", container->id}, {"error", killed.ToString()}});
    // The kernel's SIGKILL may have been recorded while we waited.
    exit = runtime::ReadExitRecord(ExitRecordPath(container->pod->id, container->id));
    if (!exit.ok()) {
      exit = runtime::ExitRecord{.exit_code = 255, .exited_at = absl::Now()};
      reason = "Unknown";
    }
  }
  if (record.stage() == state::ContainerRecord::CREATED) {
    // The daemon died between the start and its row.
    (void)Change(*container, [&exit, report](state::ContainerRecord& r) {
      r.set_stage(state::ContainerRecord::RUNNING);
      r.set_started_at(absl::ToUnixNanos(report != nullptr ? report->started_at : exit->exited_at));
    });
  }
  HandleExit(container, *exit, reason);
}

void PodManager::SweepLeftovers(const absl::flat_hash_set<std::string>& keys,
                                const absl::flat_hash_set<std::string>& live) {
  for (const std::string& key : images_->PinnedKeys()) {
    if (keys.contains(key)) continue;
    const absl::Status released = images_->ReleaseContainer(key);
    if (!released.ok()) LogError("recover.release", {{"key", key}, {"error", released.ToString()}});
  }
  for (const auto& [directory, known] :
       {std::pair{absl::StrCat(options_.root, "/volumes"), &keys},
        std::pair{absl::StrCat(options_.state, "/pods"), &live}}) {
    auto names = ListDir(directory);
    if (!names.ok()) continue;
    for (const std::string& name : *names) {
      if (!known->contains(name)) (void)RemoveTree(absl::StrCat(directory, "/", name));
    }
  }
  cleanup_.UntilDone("network of earlier pods", [this, live] {
    absl::Status status = network_->Reconcile(live);
    if (status.ok()) PrepareSparesSoon();
    return status;
  });
}

}  // namespace crisp::cri
