#include <atomic>
#include <map>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/status.h"
#include "base/thread.h"
#include "cri/pod_manager.h"

namespace crisp::cri {
namespace {

constexpr int kParallel = 8;
constexpr absl::Duration kAdoptTime = absl::Seconds(10);

// Runs `work` for each index on this thread and a few more, as there are; returns when all are done.
void InParallel(size_t count, const std::function<void(size_t)>& work) {
  std::atomic<size_t> next = 0;
  const auto take_turns = [&] {
    for (size_t index = next++; index < count; index = next++) work(index);
  };
  std::vector<Thread> threads;
  for (size_t i = 1; i < std::min<size_t>(count, kParallel); ++i) {
    absl::StatusOr<Thread> thread = Thread::Start("recovery", take_turns);
    if (!thread.ok()) break;
    threads.push_back(*std::move(thread));
  }
  take_turns();
  for (Thread& thread : threads) thread.Join();
}

}  // namespace

absl::Status PodManager::Recover() {
  const absl::Time begin = absl::Now();
  CRISP_ASSIGN_OR_RETURN(RecordStore::Records records, records_->LoadAll());
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
  InParallel(work.size(), [&](size_t i) { RecoverPod(work[i]->pod, work[i]->containers); });
  SweepLeftovers(keys, live);
  LogInfo("recovered", {{"pods", pods_.size()},
                        {"containers", containers_.size()},
                        {"took", absl::FormatDuration(absl::Now() - begin)}});
  return absl::OkStatus();
}

void PodManager::RecoverPod(const PodPtr& pod, const std::vector<ContainerPtr>& containers) {
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
    const absl::Status adopted = AdoptShim(pod, kept);
    if (!adopted.ok()) {
      // Nothing is proven: the pod stays as it is recorded, and the shim is asked again.
      LogError("recover.adopt", {{"pod", pod->id}, {"error", adopted.ToString()}});
      cleanup_.UntilDone(absl::StrCat("adoption of pod ", pod->id),
                         [this, pod, kept] { return AdoptShim(pod, kept); });
    }
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

absl::Status PodManager::AdoptShim(const PodPtr& pod, const std::vector<ContainerPtr>& containers) {
  auto shim = shims_->AdoptPod(pod->id, PodDir(pod->id), Cancel(absl::Now() + kAdoptTime));
  if (absl::IsNotFound(shim.status())) {
    CRISP_RETURN_IF_ERROR(Change(*pod, [](state::PodRecord& record) {
      record.set_stage(state::PodRecord::NOT_READY);
      record.set_shim_pid(0);
    }));
    for (const ContainerPtr& container : containers) Reconcile(container, nullptr);
    return absl::OkStatus();
  }
  if (!shim.ok()) return shim.status();
  CRISP_ASSIGN_OR_RETURN(const std::vector<runtime::ContainerReport> reports, (*shim)->Report());
  {
    absl::MutexLock lock(&pod->mutex);
    pod->shim = *shim;
    pod->Edit([&shim](state::PodRecord& edited) { edited.set_shim_pid((*shim)->pid()); });
  }
  std::map<std::string, const runtime::ContainerReport*> by_id;
  for (const runtime::ContainerReport& report : reports) by_id[report.container_id] = &report;
  for (const ContainerPtr& container : containers) {
    auto it = by_id.find(container->id);
    Reconcile(container, it == by_id.end() ? nullptr : it->second);
  }
  return absl::OkStatus();
}

void PodManager::Reconcile(const ContainerPtr& container, const runtime::ContainerReport* report) {
  using State = runtime::ContainerReport::State;
  const auto held = container->Snapshot();
  const state::ContainerRecord& record = *held;
  const bool live = record.stage() == state::ContainerRecord::RUNNING ||
                    record.stage() == state::ContainerRecord::CREATED;
  if (!live) return;
  if (report != nullptr && report->state == State::kCreated) return;
  if (report != nullptr && report->state == State::kRunning) {
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
