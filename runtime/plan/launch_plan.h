#ifndef CRISP_RUNTIME_PLAN_LAUNCH_PLAN_H_
#define CRISP_RUNTIME_PLAN_LAUNCH_PLAN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/lower.h"
#include "runtime/wire/plan_enums.h"

namespace crisp::runtime {

// The shim's work, as plain values: every decision has been taken. plan_builder makes a plan
// (pure), EncodePlan() flattens it into one buffer that the shim reads in place (wire/plan_view.h),
// and `crisp explain` prints it.

struct IdMap {
  uint32_t container_id = 0;
  uint32_t host_id = 0;
  uint32_t size = 0;
  bool operator==(const IdMap&) const = default;
};

// The process to start, for containers and execs alike.
struct ProcessPlan {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH of `env` when it has no '/'
  std::vector<std::string> env;   // "K=V", any bytes but NUL
  std::string cwd = "/";          // made if missing (container start only)
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;  // exactly these supplementary groups
  uint64_t cap_bounding = 0, cap_effective = 0, cap_permitted = 0, cap_inheritable = 0,
           cap_ambient = 0;
  bool no_new_privileges = false;
  bool terminal = false;
  uint16_t terminal_rows = 0, terminal_columns = 0;
  int32_t oom_score_adj = 0;  // EACCES when lowering is not an error
  uint32_t umask = 022;
  std::vector<std::pair<int, std::pair<uint64_t, uint64_t>>> rlimits;  // (resource, (soft, hard))
  std::string seccomp_bpf;       // struct sock_filter[]; empty for no filter
  uint32_t seccomp_flags = 0;    // SECCOMP_FILTER_FLAG_*
  std::string apparmor_profile;  // empty for none
  std::string selinux_label;
  // as ioprio_set(2) takes it, class and level; 0 for the kernel's default
  uint16_t io_priority = 0;
  bool operator==(const ProcessPlan&) const = default;
};

struct MountPlan {
  MountKind kind = MountKind::kBind;
  std::string destination;  // in the container, cleaned; resolved inside the root, made if missing
  std::string source;       // kBind: host path. kFs: source string, often the type's name
  std::string type;         // kFs: file system type
  std::vector<std::string> options;  // kFs: "key" or "key=value" for fsconfig
  // kOverlay: topmost first. kFs: symlinks to make in it, as the paths "name target".
  std::vector<Lower> lowers;
  std::string sub_path;     // kOverlay: this subdirectory of it, resolved inside, must exist
  uint64_t attributes = 0;  // MOUNT_ATTR_* to set (RDONLY, NOSUID, NODEV, NOEXEC, …)
  bool recursive_attributes = false;  // to submounts as well (recursive read-only)
  bool recursive = true;              // kBind: with submounts
  Propagation propagation = Propagation::kPrivate;
  bool idmap = false;  // through the pod's user namespace (or `id_maps` when given)
  std::vector<IdMap> uid_maps, gid_maps;
  bool optional = false;  // left out when its source does not exist or no mount point can be made
  bool copy_up = false;   // kBind of an image volume: fill from the root's same path first
  bool operator==(const MountPlan&) const = default;
};

struct DevicePlan {
  std::string path;  // in the container, below /dev or elsewhere
  char type = 'c';   // 'c', 'b' or 'p'
  uint32_t major = 0, minor = 0;
  uint32_t mode = 0666, uid = 0, gid = 0;
  std::string host_path;  // bind-mounted from here if mknod is impossible (user namespace)
  bool operator==(const DevicePlan&) const = default;
};

struct ContainerPlan {
  std::string container_id;
  ProcessPlan process;

  // The root is an overlay of the lowers and upper/work. Without an upper it is read-only.
  std::vector<Lower> lower_dirs;  // topmost first
  std::string upper_dir, work_dir;
  bool rootfs_readonly = false;
  std::string mount_label;  // SELinux context= of root and tmpfs; empty for none
  Propagation rootfs_propagation = Propagation::kPrivate;
  std::vector<MountPlan> mounts;  // in order
  std::vector<DevicePlan> devices;
  std::vector<std::string> masked_paths;
  std::vector<std::string> readonly_paths;

  NamespaceMode pid = NamespaceMode::kPrivate;
  int32_t target_pid = 0;  // kTarget: as seen by the daemon
  NamespaceMode ipc = NamespaceMode::kPod;
  NamespaceMode net = NamespaceMode::kPod;
  NamespaceMode uts = NamespaceMode::kPod;
  bool private_cgroup_namespace = true;

  // Directories that the init joins. On v1 it writes "0" to the `tasks` of each. On v2 the list
  // holds exactly the unified one, and CLONE_INTO_CGROUP is used.
  std::vector<std::string> cgroup_dirs;
  bool cgroup_v2 = false;

  // The file of the log, in the CRI's format; empty for no log. The part before a "/./" is trusted,
  // and its symbolic links are followed. Without a "/./" all directories are trusted.
  std::string log_path;
  uint32_t max_log_line = 16384;  // a longer line is split into P records
  bool stdin_open = false;        // keep a stdin for attach
  bool stdin_once = false;        // the first attach that ends closes it
  std::string exit_record;        // path of the record written when init has exited
  bool operator==(const ContainerPlan&) const = default;
};

// One more process in a running container.
struct ExecPlan {
  std::string exec_id;
  std::string container_id;
  ProcessPlan process;
  // The container's groups, which the exec's process joins as well. The first one is searched for
  // its descendants when it is to be killed.
  std::vector<std::string> cgroup_dirs;
  bool cgroup_v2 = false;
  bool operator==(const ExecPlan&) const = default;
};

// The things that a pod's shim sets up before any container.
struct PodPlan {
  std::string pod_id;
  std::string hostname;  // empty to leave it (UTS of the host)
  bool new_net = true, new_ipc = true, new_uts = true;
  bool shared_pid = false;                // the shim's binary is pid 1 of the pod
  std::vector<IdMap> uid_maps, gid_maps;  // if not empty, a user namespace owns the others
  std::vector<std::pair<std::string, std::string>>
      sysctls;                     // "net.ipv4.x" → value, applied in the pod
  std::string state_dir;           // tmpfs directory of the pod: socket, records
  uint64_t shm_bytes = 64u << 20;  // the pod's /dev/shm, offered to containers as source "pod:shm"
  // SELinux label of that, of its message queues and of the mounts that mask directories; empty for
  // none.
  std::string mount_label;
  // SELinux label of the pod's pid 1, if there is one. Empty for the daemon's, which it also keeps
  // if the policy permits no change.
  std::string init_label;
  std::vector<std::string> cgroup_dirs;  // where the pod's pid 1 (if any) lives
  bool cgroup_v2 = false;
  bool operator==(const PodPlan&) const = default;
};

// The flat forms of this version. wire/plan_schema.h describes the layout. Encoding cannot fail,
// but a string with a NUL inside makes a plan that decoding (and the shim) refuses. The container's
// layers must all be directories.
std::string EncodePlan(const PodPlan& plan);
std::string EncodePlan(const ContainerPlan& plan);
std::string EncodePlan(const ExecPlan& plan);

// The same for a shim that reads `version`, from kFirstPlanVersion on. A shim that reads a later
// version than this program writes gets this program's. FailedPrecondition, naming the field, if
// the plan asks for something that the version lacks.
absl::StatusOr<std::string> EncodePlan(const PodPlan& plan, uint16_t version);
// `mounts` are the descriptors that go beside the plan, among them those of all its layers that are
// mounts: it says their places in this list. InvalidArgument when one is missing.
absl::StatusOr<std::string> EncodePlan(const ContainerPlan& plan,
                                       uint16_t version,
                                       const std::vector<int>& mounts = {});
absl::StatusOr<std::string> EncodePlan(const ExecPlan& plan, uint16_t version);

// Decodes a plan of any version up to this program's. InvalidArgument if the buffer is malformed,
// of a later version or of another kind.
absl::StatusOr<PodPlan> DecodePodPlan(absl::string_view bytes);
// A layer's Lower::mount_fd is its place among the descriptors that came with the plan.
absl::StatusOr<ContainerPlan> DecodeContainerPlan(absl::string_view bytes);
absl::StatusOr<ExecPlan> DecodeExecPlan(absl::string_view bytes);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_PLAN_LAUNCH_PLAN_H_
