#ifndef CRISP_RUNTIME_OCI_POD_SPEC_H_
#define CRISP_RUNTIME_OCI_POD_SPEC_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/oci/oci_spec.h"

namespace crisp::runtime {

// The pod that containers belong to, for which the OCI specification has no words. Plain values.

// The namespaces that a pod's containers share. The paths are what the spec's namespace entries
// name for them (for example /proc/<pid>/ns/net): a namespace with that path is the pod's.
struct PodNamespaces {
  std::string pid_path, ipc_path, net_path, uts_path, user_path;
  std::vector<OciIdMapping> uid_maps, gid_maps;  // non-empty: the pod has a user namespace
};

// A pod before it has any container.
struct PodSpec {
  std::string pod_id;
  std::string hostname;
  bool host_network = false, host_ipc = false;  // a pod with the host's network has its UTS too
  bool shared_pid = false;                      // all containers are in one PID namespace
  std::vector<OciIdMapping> uid_maps, gid_maps;
  std::map<std::string, std::string> sysctls;  // '.' or '/' separated; must be namespaced ones
  // A directory of the pod's own on a tmpfs, for what must be found again: sockets, exit records.
  std::string state_dir;
  uint64_t shm_bytes = 64u << 20;
  std::string mount_label;  // SELinux label of the pod's own file systems; empty: none
  std::string init_label;   // of the process that a shared PID namespace begins with
  // The cgroup's directories for that process.
  std::vector<std::string> cgroup_dirs;
  bool cgroup_v2 = false;
};

// The spec's sysctls, their names dotted. InvalidArgument for one that is not namespaced, or whose
// namespace is the host's here.
absl::StatusOr<std::map<std::string, std::string>> CheckedSysctls(const PodSpec& pod);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_OCI_POD_SPEC_H_
