#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/status.h"
#include "runtime/plan/plan_builder.h"

namespace crisp::runtime {
namespace {

absl::Status CheckMaps(absl::string_view member, const std::vector<IdMap>& maps) {
  if (maps.size() != 1 || maps[0].size == 0 || maps[0].container_id != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(member, ": there must be exactly one mapping, of container id 0, not empty"));
  }
  if (uint64_t{maps[0].host_id} + maps[0].size > uint64_t{UINT32_MAX}) {
    return absl::InvalidArgumentError(absl::StrCat(member, ": exceeds the range of ids"));
  }
  return absl::OkStatus();
}

// Dotted unless a slash is the first separator: then it is the path, and a dot in it is part of a
// name (net/ipv4/conf/eth0.1/forwarding).
std::string Dotted(const std::string& name) {
  size_t separator = name.find_first_of("./");
  if (separator == std::string::npos || name[separator] == '.') return name;
  std::string dotted = name;
  for (char& c : dotted) {
    if (c == '/')
      c = '.';
    else if (c == '.')
      c = '/';
  }
  return dotted;
}

bool IsIpcSysctl(absl::string_view name) {
  return name == "kernel.sem" || name == "kernel.shmall" || name == "kernel.shmmax" ||
         name == "kernel.shmmni" || name == "kernel.shm_rmid_forced" || name == "kernel.msgmax" ||
         name == "kernel.msgmnb" || name == "kernel.msgmni" || name == "kernel.msg_next_id" ||
         name == "kernel.sem_next_id" || name == "kernel.shm_next_id" ||
         absl::StartsWith(name, "fs.mqueue.");
}

absl::Status CheckSysctl(const std::string& name, const std::string& value, const PodInputs& pod) {
  auto refuse = [&name](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("sysctl ", name, ": ", why));
  };
  if (name.empty() || value.find('\0') != std::string::npos || absl::StrContains(name, "..") ||
      name.find('\0') != std::string::npos) {
    return refuse("malformed");
  }
  if (absl::StartsWith(name, "net.")) {
    return pod.host_network ? refuse("not allowed with the host's network") : absl::OkStatus();
  }
  if (IsIpcSysctl(name)) {
    return pod.host_ipc ? refuse("not allowed with the host's IPC") : absl::OkStatus();
  }
  if (name == "kernel.domainname") {
    return pod.host_network ? refuse("not allowed with the host's network") : absl::OkStatus();
  }
  return refuse("is not namespaced; it would change the host");
}

}  // namespace

absl::StatusOr<PodPlan> BuildPodPlan(const PodInputs& inputs) {
  if (!inputs.uid_maps.empty() || !inputs.gid_maps.empty()) {
    CRISP_RETURN_IF_ERROR(CheckMaps("uid_mappings", inputs.uid_maps));
    CRISP_RETURN_IF_ERROR(CheckMaps("gid_mappings", inputs.gid_maps));
  }
  PodPlan plan{
      .pod_id = inputs.pod_id,
      .hostname = inputs.host_network ? "" : inputs.hostname,
      .new_net = !inputs.host_network,
      .new_ipc = !inputs.host_ipc,
      .new_uts = !inputs.host_network,
      .shared_pid = inputs.shared_pid,
      .uid_maps = inputs.uid_maps,
      .gid_maps = inputs.gid_maps,
      .state_dir = inputs.state_dir,
      .shm_bytes = inputs.shm_bytes,
      .mount_label = inputs.mount_label,
      .init_label = inputs.shared_pid ? inputs.init_label : "",
      .cgroup_dirs = inputs.cgroup_dirs,
      .cgroup_v2 = inputs.cgroup_v2,
  };
  // HOST_NAME_MAX of the kernel.
  if (plan.hostname.size() > 64 || plan.hostname.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("hostname \"", plan.hostname, "\" is longer than 64 bytes"));
  }
  for (const auto& [name, value] : inputs.sysctls) {
    std::string dotted = Dotted(name);
    CRISP_RETURN_IF_ERROR(CheckSysctl(dotted, value, inputs));
    plan.sysctls.push_back({dotted, value});
  }
  return plan;
}

}  // namespace crisp::runtime
