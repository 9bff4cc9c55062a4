#ifndef CRISP_RUNTIME_PLAN_LAUNCH_PLAN_H_
#define CRISP_RUNTIME_PLAN_LAUNCH_PLAN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
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

// The process that is started: shared by containers and execs.
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
  std::string seccomp_bpf;       // struct sock_filter[], empty: no filter
  uint32_t seccomp_flags = 0;    // SECCOMP_FILTER_FLAG_*
  std::string apparmor_profile;  // empty: none
  std::string selinux_label;
  uint16_t io_priority = 0;  // as ioprio_set(2) takes it, class and level; 0: the kernel's default
  bool operator==(const ProcessPlan&) const = default;
};

struct MountPlan {
  MountKind kind = MountKind::kBind;
  std::string destination;  // in the container, cleaned; resolved inside the root, made if missing
  std::string source;       // kBind: host path. kFs: source string, often the type's name
  std::string type;         // kFs: file system type
  std::vector<std::string> options;  // kFs: "key" or "key=value" for fsconfig
  // kOverlay: topmost first; as ContainerPlan::lower_dirs. kFs: symlinks to make in it, "name
  // target".
  std::vector<std::string> lowers;
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
  std::string host_path;  // bind-mounted from here where mknod is impossible (user namespace)
  bool operator==(const DevicePlan&) const = default;
};

struct ContainerPlan {
  std::string container_id;
  ProcessPlan process;

  // Root: overlay of lowers + upper/work (read-only overlay without upper when upper is empty).
  // Topmost first: directories, and "/proc/self/fd/<n>" for a mount that the daemon holds; in its
  // place the shim gets "fd:<n>", the n-th of the descriptors that come with the plan.
  std::vector<std::string> lower_dirs;
  std::string upper_dir, work_dir;
  bool rootfs_readonly = false;
  std::string mount_label;  // SELinux context= of root and tmpfs, empty: none
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

  // Directories the init joins: v1, `tasks` of each gets "0"; v2, CLONE_INTO_CGROUP when the list
  // holds exactly the unified one.
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
  // The container's, in which the exec's process is put as well. In the first one its descendants
  // are looked for when it is to be killed.
  std::vector<std::string> cgroup_dirs;
  bool cgroup_v2 = false;
  bool operator==(const ExecPlan&) const = default;
};

// The things that a pod's shim sets up before any container.
struct PodPlan {
  std::string pod_id;
  std::string hostname;  // empty: leave (UTS of the host)
  bool new_net = true, new_ipc = true, new_uts = true;
  bool shared_pid = false;                // the shim's binary is pid 1 of the pod
  std::vector<IdMap> uid_maps, gid_maps;  // non-empty: a user namespace owns the others
  std::vector<std::pair<std::string, std::string>>
      sysctls;                     // "net.ipv4.x" → value, applied in the pod
  std::string state_dir;           // tmpfs directory of the pod: socket, records
  uint64_t shm_bytes = 64u << 20;  // the pod's /dev/shm, offered to containers as source "pod:shm"
  std::string mount_label;  // SELinux label of that, its message queues and what masks directories;
                            // empty: none
  // SELinux label of the pod's pid 1 (if any), empty: the daemon's, which it also keeps where the
  // policy permits no change.
  std::string init_label;
  std::vector<std::string> cgroup_dirs;  // where the pod's pid 1 (if any) lives
  bool cgroup_v2 = false;
  bool operator==(const PodPlan&) const = default;
};

// Flat forms of this version; the layout is described in wire/plan_schema.h. Encoding cannot fail,
// but a string with a NUL inside makes a plan that decoding (and the shim) refuses.
std::string EncodePlan(const PodPlan& plan);
std::string EncodePlan(const ContainerPlan& plan);
std::string EncodePlan(const ExecPlan& plan);

// The same for a shim that reads `version`, from kFirstPlanVersion on; one that reads later ones
// than this program writes gets this program's. FailedPrecondition naming what is asked for and
// that version lacks.
absl::StatusOr<std::string> EncodePlan(const PodPlan& plan, uint16_t version);
absl::StatusOr<std::string> EncodePlan(const ContainerPlan& plan, uint16_t version);
absl::StatusOr<std::string> EncodePlan(const ExecPlan& plan, uint16_t version);

// Of any version up to this program's. InvalidArgument when the buffer is malformed, of a later
// version or of another kind.
absl::StatusOr<PodPlan> DecodePodPlan(absl::string_view bytes);
absl::StatusOr<ContainerPlan> DecodeContainerPlan(absl::string_view bytes);
absl::StatusOr<ExecPlan> DecodeExecPlan(absl::string_view bytes);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_PLAN_LAUNCH_PLAN_H_
