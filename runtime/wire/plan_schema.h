#ifndef CRISP_RUNTIME_WIRE_PLAN_SCHEMA_H_
#define CRISP_RUNTIME_WIRE_PLAN_SCHEMA_H_

#include <stdint.h>

namespace crisp::runtime {

// The flat form of a plan, in one place for both sides: the daemon describes launch_plan.h's
// structs with these functions, the shim its views (plan_view.h). The order of the fields is the
// format.
//
//   plan    = PlanHeader field*
//   integer = little endian, its own width, unaligned      bool, enum = one byte
//   string  = u32 size, bytes, NUL (not counted)            list = u32 count, u32 bytes, element*
//
// A shim outlives the daemon that started it, so a daemon writes a plan for what the shim at hand
// reads, and a shim reads plans of every version up to its own. Fields are only ever added, each at
// the end of its struct:
//   1. raise kPlanVersion, unless no release has had it yet;
//   2. add the field here as `io.Since(<that version>, "<its name in messages>", thing,
//   &T::field)`;
//   3. give it a default that means "as before" in launch_plan.h, and let plan_golden_test write
//   the new bytes.
// A plan whose field an older shim lacks is refused by that name, unless the field has its default.

constexpr uint32_t kPlanMagic = 0x4e4c5043;  // "CPLN"
constexpr uint16_t kFirstPlanVersion = 3;    // of the first release; its shims do not say it
constexpr uint16_t kPlanVersion = 4;

enum class PlanKind : uint16_t { kPod = 1, kContainer = 2, kExec = 3 };

struct PlanHeader {
  uint32_t magic;
  uint16_t version;
  uint16_t kind;
  uint32_t size;  // of the whole plan with this header
};

template <class Io, class T>
void DescribeIdMap(Io& io, T& map) {
  io(map.container_id);
  io(map.host_id);
  io(map.size);
}

template <class Io, class T>
void DescribeProcess(Io& io, T& process) {
  io(process.argv);
  io(process.env);
  io(process.cwd);
  io(process.uid);
  io(process.gid);
  io(process.groups);
  io(process.cap_bounding);
  io(process.cap_effective);
  io(process.cap_permitted);
  io(process.cap_inheritable);
  io(process.cap_ambient);
  io(process.no_new_privileges);
  io(process.terminal);
  io(process.terminal_rows);
  io(process.terminal_columns);
  io(process.oom_score_adj);
  io(process.umask);
  io(process.rlimits);
  io(process.seccomp_bpf);
  io(process.seccomp_flags);
  io(process.apparmor_profile);
  io(process.selinux_label);
  io.Since(4, "an I/O priority (process.ioPriority)", process, &T::io_priority);
}

template <class Io, class T>
void DescribeMount(Io& io, T& mount) {
  io(mount.kind);
  io(mount.destination);
  io(mount.source);
  io(mount.type);
  io(mount.options);
  io(mount.lowers);
  io(mount.sub_path);
  io(mount.attributes);
  io(mount.recursive_attributes);
  io(mount.recursive);
  io(mount.propagation);
  io(mount.idmap);
  io(mount.uid_maps);
  io(mount.gid_maps);
  io(mount.optional);
  io(mount.copy_up);
}

template <class Io, class T>
void DescribeDevice(Io& io, T& device) {
  io(device.path);
  io(device.type);
  io(device.major);
  io(device.minor);
  io(device.mode);
  io(device.uid);
  io(device.gid);
  io(device.host_path);
}

template <class Io, class T>
void DescribeContainer(Io& io, T& plan) {
  io(plan.container_id);
  io(plan.process);
  io(plan.lower_dirs);
  io(plan.upper_dir);
  io(plan.work_dir);
  io(plan.rootfs_readonly);
  io(plan.mount_label);
  io(plan.rootfs_propagation);
  io(plan.mounts);
  io(plan.devices);
  io(plan.masked_paths);
  io(plan.readonly_paths);
  io(plan.pid);
  io(plan.target_pid);
  io(plan.ipc);
  io(plan.net);
  io(plan.uts);
  io(plan.private_cgroup_namespace);
  io(plan.cgroup_dirs);
  io(plan.cgroup_v2);
  io(plan.log_path);
  io(plan.max_log_line);
  io(plan.stdin_open);
  io(plan.stdin_once);
  io(plan.exit_record);
}

template <class Io, class T>
void DescribeExec(Io& io, T& plan) {
  io(plan.exec_id);
  io(plan.container_id);
  io(plan.process);
  io(plan.cgroup_dirs);
  io(plan.cgroup_v2);
}

template <class Io, class T>
void DescribePod(Io& io, T& plan) {
  io(plan.pod_id);
  io(plan.hostname);
  io(plan.new_net);
  io(plan.new_ipc);
  io(plan.new_uts);
  io(plan.shared_pid);
  io(plan.uid_maps);
  io(plan.gid_maps);
  io(plan.sysctls);
  io(plan.state_dir);
  io(plan.shm_bytes);
  io(plan.mount_label);
  io(plan.init_label);
  io(plan.cgroup_dirs);
  io(plan.cgroup_v2);
}

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_WIRE_PLAN_SCHEMA_H_
