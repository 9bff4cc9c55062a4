#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "runtime/plan/plan_builder.h"

namespace crisp::runtime {
namespace {

absl::Status CheckMaps(absl::string_view member, const std::vector<OciIdMapping>& maps) {
  if (maps.size() != 1 || maps[0].size == 0 || maps[0].container_id != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(member, ": there must be exactly one mapping, of container id 0, not empty"));
  }
  if (uint64_t{maps[0].host_id} + maps[0].size > uint64_t{UINT32_MAX}) {
    return absl::InvalidArgumentError(absl::StrCat(member, ": exceeds the range of ids"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PodPlan> BuildPodPlan(const PodSpec& spec) {
  if (!spec.uid_maps.empty() || !spec.gid_maps.empty()) {
    CRISP_RETURN_IF_ERROR(CheckMaps("uid_mappings", spec.uid_maps));
    CRISP_RETURN_IF_ERROR(CheckMaps("gid_mappings", spec.gid_maps));
  }
  PodPlan plan{
      .pod_id = spec.pod_id,
      .hostname = spec.host_network ? "" : spec.hostname,
      .new_net = !spec.host_network,
      .new_ipc = !spec.host_ipc,
      .new_uts = !spec.host_network,
      .shared_pid = spec.shared_pid,
      .uid_maps = ToIdMaps(spec.uid_maps),
      .gid_maps = ToIdMaps(spec.gid_maps),
      .state_dir = spec.state_dir,
      .shm_bytes = spec.shm_bytes,
      .mount_label = spec.mount_label,
      .init_label = spec.shared_pid ? spec.init_label : "",
      .cgroup_dirs = spec.cgroup_dirs,
      .cgroup_v2 = spec.cgroup_v2,
  };
  // HOST_NAME_MAX of the kernel.
  if (plan.hostname.size() > 64 || plan.hostname.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("hostname \"", plan.hostname, "\" is longer than 64 bytes"));
  }
  CRISP_ASSIGN_OR_RETURN(const auto sysctls, CheckedSysctls(spec));
  plan.sysctls.assign(sysctls.begin(), sysctls.end());
  return plan;
}

}  // namespace crisp::runtime
