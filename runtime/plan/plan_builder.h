#ifndef CRISP_RUNTIME_PLAN_PLAN_BUILDER_H_
#define CRISP_RUNTIME_PLAN_PLAN_BUILDER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/oci/crisp_mounts.h"
#include "runtime/oci/oci_spec.h"
#include "runtime/oci/pod_spec.h"
#include "runtime/plan/launch_plan.h"

namespace crisp::runtime {

// OCI spec → launch plan. Pure: the same inputs give the same plan, and nothing is opened or asked.
// Every error is InvalidArgument (Unimplemented for what crisp does not do) and names the member.

// The properties of a container that its spec does not have.
struct ContainerInputs {
  std::string container_id;
  std::vector<Lower> lower_dirs;    // topmost first
  std::string upper_dir, work_dir;  // empty for no writable layer
  std::string log_path;
  uint32_t max_log_line = 16384;
  bool stdin_open = false;
  bool stdin_once = false;
  std::string exit_record;
  PodNamespaces pod;
  std::vector<std::string> cgroup_dirs;
  bool cgroup_v2 = false;
  // The mounts in place of the spec's mount of type "cgroup" (Cgroup::Mounts). They are read-only
  // if that mount is. Empty if such a mount is an error.
  std::vector<MountPlan> cgroup_mounts;
  std::string seccomp_bpf;  // compiled from spec.linux_.seccomp (seccomp_filter.h)
  uint32_t seccomp_flags = 0;
  uint64_t available_capabilities = ~uint64_t{0};  // DaemonCapabilities(); others are left out
  std::map<std::string, ImageVolume> image_volumes;
  // An empty directory beside the layers. With it even an image volume of one layer is an overlay,
  // and so can have a label.
  std::string empty_layer;
  // Device path in the container → the host's, if they differ. Only a user namespace needs it:
  // nodes are bind-mounted there, because they cannot be made.
  std::map<std::string, std::string> device_sources;
};

// Builds the plan of a container. A namespace that is absent in the spec is the host's, one with an
// empty path is the container's own, and one with the pod's path is the pod's. A PID namespace with
// another path must be "/proc/<pid>/ns/pid": it is that process's. The caller, not the plan, sees
// to hooks, intelRdt, resources (cgroup.h), sysctl (the pod's), and the compilation of the seccomp
// profile. If a bind mount covers /dev, nothing is made in there.
absl::StatusOr<ContainerPlan> BuildContainerPlan(const OciSpec& spec,
                                                 const ContainerInputs& inputs);

struct ExecInputs {
  std::string exec_id;
  std::string container_id;
  std::vector<std::string> argv;
  bool terminal = false;
  std::vector<std::string> cgroup_dirs;
  bool cgroup_v2 = false;
  std::string seccomp_bpf;
  uint32_t seccomp_flags = 0;
};
// Builds the plan of an exec. `base` is the plan of its container's own process
// (BuildProcessPlan()).
absl::StatusOr<ExecPlan> BuildExecPlan(const ProcessPlan& base, ExecInputs inputs);

// Builds the plan of a pod. InvalidArgument for a sysctl that is not namespaced, or whose namespace
// is the host's here; for mappings without container id 0 or with a size of 0; and for more than
// one mapping of a kind.
absl::StatusOr<PodPlan> BuildPodPlan(const PodSpec& spec);

// The same mappings, as plans have them.
std::vector<IdMap> ToIdMaps(const std::vector<OciIdMapping>& mappings);

// One mount of a spec as a plan (without kImageMountType and cgroup, which need inputs). Exposed
// for tests and for NRI's validation.
absl::StatusOr<MountPlan> BuildMountPlan(const OciMount& mount);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_PLAN_PLAN_BUILDER_H_
