#include "cri/pods/recovery.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/status.h"

namespace crisp::cri {
namespace {

// As long as shims answer one after the other in such short times, serving waits for them.
constexpr absl::Duration kAdoptionPause = absl::Milliseconds(250);
constexpr size_t kIdSize = 64;  // of pods and containers

// The containers that have processes, as the kernel knows it: the name of a container's group has
// its id.
class RunningContainers {
 public:
  // By a key that begins with its id. One that cannot be said counts as running.
  bool Has(absl::string_view key) {
    if (key.size() < kIdSize) return false;
    if (!groups_.has_value()) groups_ = AllGroups();
    return !groups_->ok() || absl::StrContains(**groups_, key.substr(0, kIdSize));
  }

 private:
  static absl::StatusOr<std::string> AllGroups() {
    CRISP_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDir("/proc"));
    std::string groups;
    for (const std::string& name : names) {
      if (!absl::ascii_isdigit(static_cast<unsigned char>(name[0]))) continue;
      // One that ends meanwhile has none.
      absl::StrAppend(&groups, ReadFile(absl::StrCat("/proc/", name, "/cgroup")).value_or(""));
    }
    return groups;
  }
  std::optional<absl::StatusOr<std::string>>
      groups_;  // looked at once, when there is anything to ask
};

}  // namespace

// How many adoptions have not been tried yet.
class Recovery::Countdown {
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

absl::Status Recovery::Run() {
  const absl::Time begin = absl::Now();
  CRISP_ASSIGN_OR_RETURN(RecordStore::Records records, table_.Load());
  CRISP_RETURN_IF_ERROR(AddUnknownPods(&records));
  // Of all rows, also of those that are undone: what these have is left to that.
  absl::flat_hash_set<std::string> keys, live;
  for (const state::PodRecord& record : records.pods) live.insert(record.id());
  for (const state::ContainerRecord& record : records.containers) {
    keys.insert(record.id());
    keys.insert(record.view_keys().begin(), record.view_keys().end());
  }
  const std::vector<Work> work = Sort(std::move(records));
  const auto adoptions = std::make_shared<Countdown>(work.size());
  for (const Work& item : work) Take(item, adoptions);
  // Nearly all answer at once, so clients then find things as they are. A shim that does not answer
  // delays nobody else.
  adoptions->Await(kAdoptionPause);
  adoptions_.Post([this] { TakeStrays(); });
  SweepLeftovers(keys, live);
  LogInfo("recovered", {{"pods", table_.PodCount()},
                        {"containers", table_.ContainerCount()},
                        {"took", absl::FormatDuration(absl::Now() - begin)}});
  return absl::OkStatus();
}

std::vector<Recovery::Work> Recovery::Sort(RecordStore::Records records) const {
  absl::flat_hash_map<std::string, Work> by_id;
  for (state::PodRecord& record : records.pods) {
    const std::string key = PodNameKey(record);
    runtime::PodRuntime& runtime = shims_.handlers().OfType(record.runtime_type());
    auto pod = std::make_shared<Pod>(std::move(record), key, &runtime);
    by_id[pod->id].pod = pod;
  }
  for (state::ContainerRecord& record : records.containers) {
    auto owner = by_id.find(record.pod_id());
    if (owner == by_id.end()) {
      // Its pod's row was lost or is in quarantine: a stopped stand-in lets it be undone.
      LogError("recover.no_pod", {{"container", record.id()}, {"pod", record.pod_id()}});
      state::PodRecord lost;
      lost.set_id(record.pod_id());
      lost.set_stopped(true);
      record.set_stage(state::ContainerRecord::REMOVING);
      owner = by_id.try_emplace(record.pod_id()).first;
      owner->second.pod = std::make_shared<Pod>(std::move(lost), "", &shims_.handlers().OfType(""));
    }
    const std::string key = ContainerNameKey(record.pod_id(), record.config().metadata());
    owner->second.containers.push_back(
        std::make_shared<Container>(std::move(record), key, owner->second.pod));
  }
  std::vector<Work> work;
  for (auto& [id, item] : by_id) work.push_back(std::move(item));
  return work;
}

void Recovery::Take(const Work& work, const std::shared_ptr<Countdown>& adoptions) {
  const PodPtr& pod = work.pod;
  const auto held = pod->Snapshot();
  const state::PodRecord& record = *held;
  const bool visible =
      record.stage() == state::PodRecord::READY || record.stage() == state::PodRecord::NOT_READY;
  {
    absl::MutexLock lock(&pod->mutex);
    pod->level = labels_.Restore(record.selinux_level());
  }
  if (record.owns_cgroup() && !record.config().linux().cgroup_parent().empty()) {
    claims_.Restore(record.cgroup_path(), pod->id);
  }
  std::vector<ContainerPtr> undone;
  // Before the shim is connected: from then on it tells exits, and those must find their container.
  if (visible) table_.Show(pod);
  for (const ContainerPtr& container : work.containers) {
    const auto row = container->Snapshot();
    {
      absl::MutexLock lock(&container->mutex);
      container->level = labels_.Restore(row->selinux_level());
    }
    if (visible && row->stage() != state::ContainerRecord::MAKING &&
        row->stage() != state::ContainerRecord::REMOVING) {
      table_.Show(container);
    } else {
      undone.push_back(container);
    }
  }
  if (visible && !record.stopped()) {
    shims_.Adopt(pod, [adoptions] { adoptions->Done(); });
  } else {
    adoptions->Done();
  }
  for (const ContainerPtr& container : undone) remover_.UndoLater(container);
  if (!visible && !pod->name_key.empty()) ender_.UndoLater(pod);
}

absl::StatusOr<std::vector<Recovery::Found>> Recovery::FindPods() {
  std::vector<Found> all;
  for (const auto& runtime : shims_.handlers().runtimes()) {
    CRISP_ASSIGN_OR_RETURN(std::vector<runtime::FoundPod> pods,
                           runtime->finder().Find(node_.PodsDir(), ""));
    for (runtime::FoundPod& pod : pods) all.push_back({std::move(pod), runtime.get()});
  }
  return all;
}

state::PodRecord Recovery::RecordOfUnknown(const std::string& pod_id,
                                           const runtime::PodRuntime* runs_it) const {
  state::PodRecord record = UnknownPod(
      pod_id, runtime::PodCgroupPath(node_.options.cgroup_driver, "", pod_id).value_or(""));
  if (runs_it != nullptr) {
    record.set_runtime_type(runs_it->type());
    LogError("recover.unknown_pod", {{"pod", pod_id}});
  } else {
    LogWarning("recover.undone_pod",
               {{"pod", pod_id}, {"reason", "no record tells of it, and no process is in it"}});
    record.set_stage(state::PodRecord::REMOVING);
  }
  return record;
}

// Before a directory is undone, the kernel is asked what lives in it.
absl::Status Recovery::AddUnknownPods(RecordStore::Records* records) {
  const std::vector<std::string> unknown = table_.WithoutRow(*records);
  if (unknown.empty()) return absl::OkStatus();
  CRISP_ASSIGN_OR_RETURN(const std::vector<Found> found, FindPods());
  for (const std::string& id : unknown) {
    if (id.size() != 64 || !IsIdPrefix(id)) continue;  // no pod's: swept
    const auto live = std::find_if(found.begin(), found.end(), [&id](const Found& one) {
      return one.pod.pod_id == id && one.pod.has_children;
    });
    records->pods.push_back(RecordOfUnknown(id, live == found.end() ? nullptr : live->runtime));
    CRISP_RETURN_IF_ERROR(table_.PutRow(records->pods.back()));
  }
  return absl::OkStatus();
}

void Recovery::TakeStrays() {
  const auto found = FindPods();
  if (!found.ok()) return;
  for (const Found& one : *found) {
    const runtime::FoundPod& shim = one.pod;
    // A pod has its row before its shim, and loses it after it: one that has been removed since the
    // shims were looked for has neither.
    const absl::StatusOr<bool> known = table_.HasRow(shim.pod_id);
    if (!known.ok() || *known || shim.HasEnded()) continue;
    state::PodRecord record =
        RecordOfUnknown(shim.pod_id, shim.has_children ? one.runtime : nullptr);
    record.set_runtime_type(one.runtime->type());
    const std::string key = PodNameKey(record);
    const auto pod = std::make_shared<Pod>(std::move(record), key, one.runtime);
    if (!table_.Add(*pod).ok()) continue;
    if (shim.has_children) {
      table_.Show(pod);
    } else {
      ender_.UndoLater(pod);
    }
  }
}

absl::Status Recovery::ReleaseUnrecorded(std::vector<std::string>& keys) {
  RunningContainers running;
  std::erase_if(keys, [&](const std::string& key) {
    const absl::StatusOr<bool> known = table_.HasRow(key.substr(0, kIdSize));
    if (known.ok() && *known)
      return true;  // its shim has told of it: whoever removes it releases that too
    return known.ok() && !running.Has(key) && node_.images->ReleaseContainer(key).ok() &&
           RemoveTree(node_.VolumeDir(key)).ok();
  });
  if (keys.empty()) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("containers that no record tells of run: ", absl::StrJoin(keys, ", ")));
}

// That no row tells of a container proves nothing: its shim may not have been asked yet, or hang.
void Recovery::SweepLeftovers(const absl::flat_hash_set<std::string>& keys,
                              const absl::flat_hash_set<std::string>& live) {
  RunningContainers running;
  std::vector<std::string> kept;
  const auto in_use = [&running, &kept](const std::string& key) {
    if (!running.Has(key)) return false;
    LogError("recover.in_use",
             {{"key", key}, {"reason", "no record tells of the container, and it runs"}});
    kept.push_back(key);
    return true;
  };
  for (const std::string& key : node_.images->PinnedKeys()) {
    if (keys.contains(key) || in_use(key)) continue;
    const absl::Status released = node_.images->ReleaseContainer(key);
    if (!released.ok()) LogError("recover.release", {{"key", key}, {"error", released.ToString()}});
  }
  for (const std::string& name : ListDir(node_.VolumesDir()).value_or(std::vector<std::string>())) {
    if (!keys.contains(name) && !in_use(name)) (void)RemoveTree(node_.VolumeDir(name));
  }
  for (const std::string& name : ListDir(node_.PodsDir()).value_or(std::vector<std::string>())) {
    if (!live.contains(name)) (void)RemoveTree(absl::StrCat(node_.PodsDir(), "/", name));
  }
  if (!kept.empty()) {
    background_.UntilDone(
        "release of what unrecorded containers have",
        [this, kept = std::move(kept)]() mutable { return ReleaseUnrecorded(kept); });
  }
  background_.UntilDone("network of earlier pods", [this, live] {
    absl::flat_hash_set<std::string> with_network = live;
    CRISP_ASSIGN_OR_RETURN(const std::vector<Found> found, FindPods());
    for (const Found& one : found) with_network.insert(one.pod.pod_id);
    const absl::Status status = node_.network->Reconcile(with_network);
    if (status.ok()) spares_.PrepareSoon();
    return status;
  });
}

}  // namespace crisp::cri
