#ifndef CRISP_CRI_CONTAINERS_CGROUP_CLAIMS_H_
#define CRISP_CRI_CONTAINERS_CGROUP_CLAIMS_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/operation.h"
#include "cri/api/crisp_state.pb.h"
#include "runtime/cgroup/cgroup.h"

namespace crisp::cri {

// The groups that are the pods' own and are removed with them. Several pods may share a parent
// group. It is ours if it did not exist before the first of them came: the kubelet makes its groups
// before it asks for a pod. Thread-safe.
class CgroupClaims {
 public:
  // `has_row` says if a pod or container of this id is recorded.
  CgroupClaims(std::shared_ptr<const runtime::CgroupLayout> layout,
               std::function<absl::StatusOr<bool>(const std::string& id)> has_row)
      : layout_(std::move(layout)), has_row_(std::move(has_row)) {}

  // Claims `path` for a pod that is about to be made below it. True if the group is ours.
  bool Claim(const std::string& path, const std::string& pod_id);
  // The same for a pod that an earlier daemon has made.
  void Restore(const std::string& path, const std::string& pod_id);
  // Gives the pod's claim back. The last one removes the group. Unavailable while something is
  // still in it. OK without a claim.
  absl::Status Release(const std::string& path, const std::string& pod_id);

  // Removes a pod's own groups, once its shim is gone, and gives back its claim. May be called
  // again after a failure.
  absl::Status RemoveGroupsOf(const state::PodRecord& pod, const Operation& operation);

 private:
  runtime::Cgroup At(const std::string& path) const { return {layout_, path}; }
  // Removes the groups of containers in a group of ours that no row tells of.
  absl::Status RemoveOrphans(const runtime::Cgroup& group);

  const std::shared_ptr<const runtime::CgroupLayout> layout_;
  const std::function<absl::StatusOr<bool>(const std::string& id)> has_row_;
  absl::Mutex mutex_;
  // Our groups, with the pods in each.
  absl::flat_hash_map<std::string, absl::flat_hash_set<std::string>> claims_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_CGROUP_CLAIMS_H_
