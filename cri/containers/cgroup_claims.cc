#include "cri/containers/cgroup_claims.h"

#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/status.h"

namespace crisp::cri {

bool CgroupClaims::Claim(const std::string& path, const std::string& pod_id) {
  struct stat st {};
  absl::MutexLock lock(&mutex_);
  const bool ours = claims_.contains(path) || stat(At(path).PrimaryDir().c_str(), &st) != 0;
  if (ours) claims_[path].insert(pod_id);
  return ours;
}

void CgroupClaims::Restore(const std::string& path, const std::string& pod_id) {
  absl::MutexLock lock(&mutex_);
  claims_[path].insert(pod_id);
}

absl::Status CgroupClaims::Release(const std::string& path, const std::string& pod_id) {
  absl::MutexLock lock(&mutex_);  // against a claim while it is being removed
  const auto it = claims_.find(path);
  if (it == claims_.end() || !it->second.contains(pod_id)) return absl::OkStatus();
  if (it->second.size() == 1) {
    CRISP_ASSIGN_OR_RETURN(const bool gone, At(path).RemoveIfUnused());
    // Removed containers leave their groups in the background.
    if (!gone) return absl::UnavailableError(absl::StrCat("cgroup ", path, " is in use"));
  }
  it->second.erase(pod_id);
  if (it->second.empty()) claims_.erase(it);
  return absl::OkStatus();
}

absl::Status CgroupClaims::RemoveGroupsOf(const state::PodRecord& pod, const Operation& operation) {
  const std::string& parent = pod.config().linux().cgroup_parent();
  const bool in_scope =
      runtime::DriverOfPod(parent, pod.cgroup_path()) == runtime::CgroupDriver::kSystemd;
  if (parent.empty() || in_scope) {
    std::string path = pod.cgroup_path();
    if (in_scope) {
      CRISP_ASSIGN_OR_RETURN(path, runtime::PodScopePath(parent, pod.id()));
    }
    // The pod has it for itself.
    CRISP_RETURN_IF_ERROR(At(path).Kill(operation));
    return At(path).Remove(operation);
  }
  CRISP_ASSIGN_OR_RETURN(
      const std::string own,
      runtime::ContainerCgroupPath(runtime::CgroupDriver::kCgroupfs, parent, pod.id(), pod.id()));
  CRISP_RETURN_IF_ERROR(At(own).Kill(operation));
  CRISP_RETURN_IF_ERROR(At(own).Remove(operation));
  if (!pod.owns_cgroup()) return absl::OkStatus();
  CRISP_RETURN_IF_ERROR(RemoveOrphans(At(pod.cgroup_path())));
  // Other pods may be in it; the last one takes it away.
  return Release(pod.cgroup_path(), pod.id());
}

absl::Status CgroupClaims::RemoveOrphans(const runtime::Cgroup& group) {
  absl::flat_hash_set<std::string> names;
  for (const std::string& dir : group.Dirs()) {
    const auto below = ListDir(dir);
    if (below.ok()) names.insert(below->begin(), below->end());
  }
  for (const std::string& name : names) {
    // The group's own files, and what others have made in it.
    if (name.size() != 64 || !IsIdPrefix(name)) continue;
    CRISP_ASSIGN_OR_RETURN(const bool known, has_row_(name));
    if (known) continue;
    const runtime::Cgroup orphan = At(absl::StrCat(group.path(), "/", name));
    LogWarning("cgroup.orphan", {{"path", orphan.path()}});
    const Operation soon(absl::Now() + absl::Seconds(2));
    CRISP_RETURN_IF_ERROR(orphan.Kill(soon));
    CRISP_RETURN_IF_ERROR(orphan.Remove(soon));
  }
  return absl::OkStatus();
}

}  // namespace crisp::cri
