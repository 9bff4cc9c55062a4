#include "cri/pods/pod_reset.h"

#include <fcntl.h>

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/status.h"
#include "cri/state/record_copies.h"
#include "cri/state/record_store.h"
#include "runtime/cgroup/cgroup.h"

namespace crisp::cri {

namespace v1 = ::runtime::v1;

namespace {

constexpr size_t kParallel = 8;
constexpr absl::Duration kKillTime = absl::Seconds(10);    // for killed processes to be gone
constexpr absl::Duration kDetachTime = absl::Seconds(15);  // for a CNI plug-in, which is asked once

struct EndingPod {
  state::PodRecord record;
  std::vector<state::ContainerRecord> containers;
  std::string netns_path;  // of its shim; "" when none lives
};

class Resetter {
 public:
  Resetter(const ResetOptions& options, network::PodNetwork* network, const Operation& operation)
      : options_(options),
        network_(network),
        operation_(operation),
        pods_dir_(options.state + "/pods") {}

  std::vector<std::string> Run() {
    auto layout = runtime::DetectCgroups();
    Note("find the cgroup hierarchies", layout.status());
    if (layout.ok()) layout_ = std::make_shared<const runtime::CgroupLayout>(*std::move(layout));
    FindPods();
    EndAll();
    // Those that belong to no pod that anybody knows of.
    for (const runtime::PodFinder* finder : options_.finders)
      Note("end the shims", finder->End(pods_dir_, "", Soon(kKillTime)));
    if (layout_ != nullptr && options_.cgroup_driver == runtime::CgroupDriver::kCgroupfs) {
      (void)runtime::Cgroup(layout_, runtime::kDefaultCgroupParent).RemoveIfUnused();
    }
    absl::MutexLock lock(&mutex_);
    return notes_;
  }

 private:
  Operation Soon(absl::Duration time) const { return operation_.Until(absl::Now() + time); }

  void Note(const std::string& what, const absl::Status& status) {
    if (status.ok()) return;
    LogWarning("reset.incomplete", {{"what", what}, {"error", status.ToString()}});
    absl::MutexLock lock(&mutex_);
    notes_.push_back(absl::StrCat(what, ": ", status.message()));
  }

  void FindPods() {
    RecordStore::Records records;
    auto store = RecordStore::Open(options_.state + "/state.db");
    Note("read the state database", store.status());
    if (store.ok()) {
      auto rows = (*store)->LoadAll();
      Note("read the state database", rows.status());
      if (rows.ok()) records = *std::move(rows);
      RecordCopies(pods_dir_).Restore(**store, &records);
    }
    for (std::string& id : RecordCopies(pods_dir_).WithoutRecord(records))
      pods_[id].record.set_id(id);
    for (state::PodRecord& record : records.pods) pods_[record.id()].record = std::move(record);
    for (state::ContainerRecord& record : records.containers) {
      EndingPod& pod = pods_[record.pod_id()];
      pod.record.set_id(record.pod_id());
      pod.containers.push_back(std::move(record));
    }
    for (const runtime::PodFinder* finder : options_.finders) {
      auto found = finder->Find(pods_dir_, "");
      Note("look for shims", found.status());
      if (!found.ok()) continue;
      for (const runtime::FoundPod& one : *found) {
        EndingPod& pod = pods_[one.pod_id];
        pod.record.set_id(one.pod_id);
        if (pod.netns_path.empty()) pod.netns_path = absl::StrCat("/proc/", one.pid, "/ns/net");
      }
    }
  }

  void EndAll() {
    std::vector<const EndingPod*> pods;
    for (const auto& [id, pod] : pods_) pods.push_back(&pod);
    // Each has an end.
    ParallelFor("reset", pods.size(), kParallel, [&](size_t i) { End(*pods[i]); });
  }

  void End(const EndingPod& pod) {
    const std::string& id = pod.record.id();
    if (operation_.Check("").ok()) {
      for (const state::ContainerRecord& container : pod.containers)
        KillGroup(container.cgroup_path());
    }
    Detach(pod);
    for (const runtime::PodFinder* finder : options_.finders) {
      Note(absl::StrCat("end the shim of pod ", id), finder->End(pods_dir_, id, Soon(kKillTime)));
    }
    if (layout_ == nullptr) return;
    for (const state::ContainerRecord& container : pod.containers)
      RemoveGroup(container.cgroup_path());
    RemovePodGroups(pod.record);
  }

  void Detach(const EndingPod& pod) {
    const v1::NamespaceOption& options =
        pod.record.config().linux().security_context().namespace_options();
    if (network_ == nullptr || options.network() == v1::NODE || pod.record.stopped()) return;
    UniqueFd netns;
    if (!pod.netns_path.empty()) {
      auto opened = Open(pod.netns_path, O_RDONLY | O_CLOEXEC);
      if (opened.ok()) netns = *std::move(opened);
    }
    Note(absl::StrCat("take pod ", pod.record.id(), " off the network"),
         network_->Detach(pod.record.id(), netns.get(), Soon(kDetachTime)));
  }

  void KillGroup(const std::string& path) {
    if (layout_ == nullptr || path.size() < 2) return;  // never the root of all
    Note(absl::StrCat("kill cgroup ", path), runtime::Cgroup(layout_, path).Kill(Soon(kKillTime)));
  }

  void RemoveGroup(const std::string& path) {
    if (path.size() < 2) return;
    KillGroup(path);
    Note(absl::StrCat("remove cgroup ", path),
         runtime::Cgroup(layout_, path).Remove(Soon(kKillTime)));
  }

  // A parent that somebody else has made, or has more in, stays.
  void RemovePodGroups(const state::PodRecord& record) {
    const std::string& parent = record.config().linux().cgroup_parent();
    if (runtime::DriverOfPod(parent, record.cgroup_path()) == runtime::CgroupDriver::kSystemd) {
      auto scope = runtime::PodScopePath(parent, record.id());
      if (scope.ok()) RemoveGroup(*scope);
    } else if (parent.empty()) {
      // Of a pod without a record, where it would be.
      auto path = runtime::PodCgroupPath(options_.cgroup_driver, "", record.id());
      if (path.ok()) RemoveGroup(record.cgroup_path().empty() ? *path : record.cgroup_path());
    } else {
      auto own = runtime::ContainerCgroupPath(runtime::CgroupDriver::kCgroupfs, parent, record.id(),
                                              record.id());
      if (own.ok()) RemoveGroup(*own);
      if (record.owns_cgroup())
        (void)runtime::Cgroup(layout_, record.cgroup_path()).RemoveIfUnused();
    }
  }

  const ResetOptions& options_;
  network::PodNetwork* const network_;
  const Operation& operation_;
  const std::string pods_dir_;
  std::shared_ptr<const runtime::CgroupLayout> layout_;
  std::map<std::string, EndingPod> pods_;
  absl::Mutex mutex_;
  std::vector<std::string> notes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::vector<std::string> EndEveryPod(const ResetOptions& options,
                                     network::PodNetwork* network,
                                     const Operation& operation) {
  return Resetter(options, network, operation).Run();
}

}  // namespace crisp::cri
