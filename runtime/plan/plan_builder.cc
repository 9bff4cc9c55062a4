#include "runtime/plan/plan_builder.h"

#include <linux/mount.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/safe_path.h"
#include "base/status.h"
#include "runtime/oci/default_spec.h"
#include "runtime/plan/mount_options.h"
#include "runtime/plan/plan_process.h"

namespace crisp::runtime {
namespace {

absl::Status Invalid(absl::string_view member, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(member, ": ", why));
}

absl::StatusOr<Propagation> RootPropagation(const std::string& word) {
  if (word.empty() || word == "private" || word == "rprivate") return Propagation::kPrivate;
  if (word == "slave" || word == "rslave") return Propagation::kSlave;
  if (word == "shared" || word == "rshared") return Propagation::kShared;
  return Invalid("linux.rootfsPropagation", absl::StrCat("\"", word, "\" is not possible"));
}

absl::Status FillMount(const OciMount& mount, const MountOptions& options, MountPlan& plan) {
  if (mount.destination.empty() || mount.destination[0] != '/') {
    return absl::InvalidArgumentError("the destination is not an absolute path");
  }
  plan.destination = CleanAbsolutePath(mount.destination);
  if (plan.destination == "/") return absl::InvalidArgumentError("cannot mount over the root");
  plan.attributes = options.attributes;
  plan.recursive_attributes = options.recursive_attributes;
  plan.propagation = options.propagation;
  plan.optional = options.optional;
  plan.copy_up = options.copy_up;
  plan.uid_maps = ToIdMaps(mount.uid_mappings);
  plan.gid_maps = ToIdMaps(mount.gid_mappings);
  if (plan.uid_maps.empty() != plan.gid_maps.empty()) {
    return absl::InvalidArgumentError("uidMappings and gidMappings must come together");
  }
  plan.idmap = options.idmap || !plan.uid_maps.empty();
  return absl::OkStatus();
}

absl::Status FillBind(const OciMount& mount, const MountOptions& options, MountPlan& plan) {
  if (!options.rest.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("option \"", options.rest[0], "\" means nothing for a bind mount"));
  }
  const bool of_pod = absl::StartsWith(mount.source, kPodFilePrefix) &&
                      mount.source != kPodFilePrefix && !absl::StrContains(mount.source, '/');
  if (!of_pod && (mount.source.empty() || mount.source[0] != '/')) {
    return absl::InvalidArgumentError(
        absl::StrCat("the source \"", mount.source, "\" is not an absolute path"));
  }
  plan.kind = MountKind::kBind;
  plan.source = mount.source;
  plan.recursive = options.recursive_bind || !options.bind;
  return absl::OkStatus();
}

absl::Status FillFileSystem(const OciMount& mount, const MountOptions& options, MountPlan& plan) {
  if (plan.copy_up) return absl::InvalidArgumentError("only a bind mount can be filled");
  if (plan.idmap) return absl::InvalidArgumentError("only a bind mount can be id-mapped");
  plan.kind =
      plan.destination == "/dev" && mount.type == "tmpfs" ? MountKind::kDev : MountKind::kFs;
  plan.type = mount.type;
  plan.source = mount.source.empty() ? mount.type : mount.source;
  plan.options = options.rest;
  return absl::OkStatus();
}

absl::StatusOr<MountPlan> ImageMount(const OciMount& mount,
                                     const ContainerInputs& inputs,
                                     bool labelled) {
  auto found = inputs.image_volumes.find(mount.source);
  if (found == inputs.image_volumes.end()) {
    return absl::InvalidArgumentError(absl::StrCat("no image \"", mount.source, "\" was given"));
  }
  CRISP_ASSIGN_OR_RETURN(MountOptions options, ParseMountOptions(mount.options));
  if (!options.rest.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("option \"", options.rest[0], "\" means nothing for an image"));
  }
  MountPlan plan;
  CRISP_RETURN_IF_ERROR(FillMount(mount, options, plan));
  // Its layers are seen through the pod's maps already.
  if (plan.idmap) return absl::InvalidArgumentError("an image cannot be id-mapped again");
  plan.kind = MountKind::kOverlay;
  plan.lowers = found->second.lowers;
  if (labelled && plan.lowers.size() == 1 && !inputs.empty_layer.empty()) {
    plan.lowers.push_back(inputs.empty_layer);
  }
  plan.sub_path = found->second.sub_path;
  plan.attributes |= MOUNT_ATTR_RDONLY;
  return plan;
}

absl::Status AddCgroupMounts(const OciMount& mount,
                             const ContainerInputs& inputs,
                             std::vector<MountPlan>& plans) {
  if (inputs.cgroup_mounts.empty()) {
    return absl::InvalidArgumentError("no cgroup mounts were given");
  }
  CRISP_ASSIGN_OR_RETURN(MountOptions options, ParseMountOptions(mount.options));
  for (MountPlan plan : inputs.cgroup_mounts) {
    plan.attributes |= options.attributes;
    plans.push_back(std::move(plan));
  }
  return absl::OkStatus();
}

absl::Status AddMount(const OciMount& mount,
                      const ContainerInputs& inputs,
                      bool labelled,
                      std::vector<MountPlan>& plans) {
  if (mount.type == "cgroup" || mount.type == "cgroup2") {
    return AddCgroupMounts(mount, inputs, plans);
  }
  absl::StatusOr<MountPlan> plan =
      mount.type == kImageMountType ? ImageMount(mount, inputs, labelled) : BuildMountPlan(mount);
  if (!plan.ok()) return plan.status();
  plans.push_back(*std::move(plan));
  return absl::OkStatus();
}

absl::Status FillMounts(const OciSpec& spec, const ContainerInputs& inputs, ContainerPlan& plan) {
  for (size_t i = 0; i < spec.mounts.size(); ++i) {
    absl::Status added =
        AddMount(spec.mounts[i], inputs, !spec.linux_.mount_label.empty(), plan.mounts);
    if (!added.ok()) {
      return Annotate(added, absl::StrCat("mounts[", i, "] at ", spec.mounts[i].destination));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<DevicePlan> ToDevicePlan(const OciDevice& device, const ContainerInputs& inputs) {
  DevicePlan plan{.path = CleanAbsolutePath(device.path),
                  .mode = device.file_mode.value_or(0666) & 07777,
                  .uid = device.uid.value_or(0),
                  .gid = device.gid.value_or(0)};
  if (device.path.empty() || plan.path == "/") {
    return Invalid("linux.devices",
                   absl::StrCat("\"", device.path, "\" is not a path for a device"));
  }
  if (device.type == "c" || device.type == "u")
    plan.type = 'c';
  else if (device.type == "b" || device.type == "p")
    plan.type = device.type[0];
  else
    return Invalid("linux.devices", absl::StrCat(device.path, ": unknown type ", device.type));
  // dev_t has 12 and 20 bits.
  if (device.major < 0 || device.major > 0xfff || device.minor < 0 || device.minor > 0xfffff) {
    return Invalid("linux.devices", absl::StrCat(device.path, ": the number is out of range"));
  }
  plan.major = static_cast<uint32_t>(device.major);
  plan.minor = static_cast<uint32_t>(device.minor);
  auto source = inputs.device_sources.find(plan.path);
  plan.host_path = source == inputs.device_sources.end() ? plan.path : source->second;
  return plan;
}

// The last mount at /dev decides whether it is ours to fill.
bool OwnsDev(const std::vector<MountPlan>& mounts) {
  auto last = std::find_if(mounts.rbegin(), mounts.rend(),
                           [](const MountPlan& m) { return m.destination == "/dev"; });
  return last == mounts.rend() || last->kind == MountKind::kDev;
}

absl::Status FillDevices(const OciSpec& spec, const ContainerInputs& inputs, ContainerPlan& plan) {
  if (!OwnsDev(plan.mounts)) return absl::OkStatus();
  std::vector<OciDevice> devices = DefaultDevices();
  devices.insert(devices.end(), spec.linux_.devices.begin(), spec.linux_.devices.end());
  for (const OciDevice& device : devices) {
    CRISP_ASSIGN_OR_RETURN(DevicePlan made, ToDevicePlan(device, inputs));
    auto same = std::find_if(plan.devices.begin(), plan.devices.end(),
                             [&made](const DevicePlan& d) { return d.path == made.path; });
    if (same == plan.devices.end())
      plan.devices.push_back(std::move(made));
    else
      *same = std::move(made);
  }
  return absl::OkStatus();
}

absl::StatusOr<NamespaceMode> ModeOf(const OciSpec& spec,
                                     const std::string& type,
                                     const std::string& pod_path) {
  const OciNamespace* entry = spec.FindNamespace(type);
  if (entry == nullptr) return NamespaceMode::kHost;
  if (entry->path.empty()) return NamespaceMode::kPrivate;
  if (entry->path == pod_path) return NamespaceMode::kPod;
  return Invalid("linux.namespaces", absl::StrCat(type, ": ", entry->path, " is not the pod's"));
}

absl::StatusOr<int32_t> PidOfNamespacePath(absl::string_view path) {
  int32_t pid = 0;
  if (!absl::ConsumePrefix(&path, "/proc/") || !absl::ConsumeSuffix(&path, "/ns/pid") ||
      path.empty() || !std::all_of(path.begin(), path.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(path, &pid) || pid <= 0) {
    return Invalid("linux.namespaces", "pid: the path is not /proc/<pid>/ns/pid");
  }
  return pid;
}

absl::Status FillNamespaces(const OciSpec& spec, const PodNamespaces& pod, ContainerPlan& plan) {
  for (const OciNamespace& entry : spec.linux_.namespaces) {
    if (entry.type == "time") return absl::UnimplementedError("linux.namespaces: time");
    if ((entry.type == "mount" || entry.type == "cgroup") && !entry.path.empty()) {
      return absl::UnimplementedError(absl::StrCat("linux.namespaces: joining a ", entry.type));
    }
  }
  if (spec.FindNamespace("mount") == nullptr) {
    return Invalid("linux.namespaces", "a container needs a mount namespace");
  }
  if ((spec.FindNamespace("user") != nullptr) != !pod.uid_maps.empty()) {
    return Invalid("linux.namespaces", "user: the container must do as its pod does");
  }
  CRISP_ASSIGN_OR_RETURN(plan.ipc, ModeOf(spec, "ipc", pod.ipc_path));
  CRISP_ASSIGN_OR_RETURN(plan.net, ModeOf(spec, "network", pod.net_path));
  CRISP_ASSIGN_OR_RETURN(plan.uts, ModeOf(spec, "uts", pod.uts_path));
  plan.private_cgroup_namespace = spec.FindNamespace("cgroup") != nullptr;
  const OciNamespace* pid = spec.FindNamespace("pid");
  if (pid != nullptr && !pid->path.empty() && pid->path != pod.pid_path) {
    plan.pid = NamespaceMode::kTarget;
    CRISP_ASSIGN_OR_RETURN(plan.target_pid, PidOfNamespacePath(pid->path));
    return absl::OkStatus();
  }
  CRISP_ASSIGN_OR_RETURN(plan.pid, ModeOf(spec, "pid", pod.pid_path));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> CleanPaths(const std::vector<std::string>& paths,
                                                    absl::string_view member) {
  std::vector<std::string> clean;
  for (const std::string& path : paths) {
    if (path.empty() || path[0] != '/') {
      return Invalid(member, absl::StrCat("\"", path, "\" is not an absolute path"));
    }
    clean.push_back(CleanAbsolutePath(path));
    if (clean.back() == "/") return Invalid(member, "the root cannot be covered");
  }
  return clean;
}

absl::Status RefuseUnmodelled(const OciSpec& spec) {
  for (const char* key : {"personality", "timeOffsets", "netDevices", "memoryPolicy"}) {
    if (spec.linux_.other.is_object() && spec.linux_.other.contains(key)) {
      return absl::UnimplementedError(absl::StrCat("linux.", key, " is not supported"));
    }
  }
  if (!spec.domainname.empty()) return absl::UnimplementedError("domainname is not supported");
  return absl::OkStatus();
}

ContainerPlan FromInputs(const ContainerInputs& inputs) {
  return {
      .container_id = inputs.container_id,
      .lower_dirs = inputs.lower_dirs,
      .upper_dir = inputs.upper_dir,
      .work_dir = inputs.work_dir,
      .cgroup_dirs = inputs.cgroup_dirs,
      .cgroup_v2 = inputs.cgroup_v2,
      .log_path = inputs.log_path,
      .max_log_line = inputs.max_log_line,
      .stdin_open = inputs.stdin_open,
      .stdin_once = inputs.stdin_once,
      .exit_record = inputs.exit_record,
  };
}

}  // namespace

std::vector<IdMap> ToIdMaps(const std::vector<OciIdMapping>& mappings) {
  std::vector<IdMap> maps;
  for (const OciIdMapping& m : mappings) maps.push_back({m.container_id, m.host_id, m.size});
  return maps;
}

absl::StatusOr<MountPlan> BuildMountPlan(const OciMount& mount) {
  CRISP_ASSIGN_OR_RETURN(MountOptions options, ParseMountOptions(mount.options));
  MountPlan plan;
  CRISP_RETURN_IF_ERROR(FillMount(mount, options, plan));
  bool bind = options.bind || mount.type == "bind" || mount.type == "rbind";
  if (!bind && mount.type.empty()) return absl::InvalidArgumentError("the type is missing");
  CRISP_RETURN_IF_ERROR(bind ? FillBind(mount, options, plan)
                             : FillFileSystem(mount, options, plan));
  return plan;
}

absl::StatusOr<ContainerPlan> BuildContainerPlan(const OciSpec& spec,
                                                 const ContainerInputs& inputs) {
  if (inputs.lower_dirs.empty()) return Invalid("root", "has no layer");
  if (inputs.upper_dir.empty() != inputs.work_dir.empty()) {
    return Invalid("root", "upper and work directories must come together");
  }
  CRISP_RETURN_IF_ERROR(RefuseUnmodelled(spec));
  ContainerPlan plan = FromInputs(inputs);
  CRISP_ASSIGN_OR_RETURN(plan.process,
                         BuildProcessPlan(spec.process, inputs.available_capabilities));
  plan.process.seccomp_bpf = inputs.seccomp_bpf;
  plan.process.seccomp_flags = inputs.seccomp_flags;
  plan.rootfs_readonly = spec.root.readonly;
  plan.mount_label = spec.linux_.mount_label;
  CRISP_ASSIGN_OR_RETURN(plan.rootfs_propagation, RootPropagation(spec.linux_.rootfs_propagation));
  CRISP_RETURN_IF_ERROR(FillNamespaces(spec, inputs.pod, plan));
  CRISP_RETURN_IF_ERROR(FillMounts(spec, inputs, plan));
  CRISP_RETURN_IF_ERROR(FillDevices(spec, inputs, plan));
  CRISP_ASSIGN_OR_RETURN(plan.masked_paths,
                         CleanPaths(spec.linux_.masked_paths, "linux.maskedPaths"));
  CRISP_ASSIGN_OR_RETURN(plan.readonly_paths,
                         CleanPaths(spec.linux_.readonly_paths, "linux.readonlyPaths"));
  return plan;
}

namespace {
bool Sets(const std::vector<std::string>& env, absl::string_view name) {
  return std::any_of(env.begin(), env.end(),
                     [name](const std::string& entry) { return absl::StartsWith(entry, name); });
}
}  // namespace

absl::StatusOr<ExecPlan> BuildExecPlan(const ProcessPlan& base, ExecInputs inputs) {
  CRISP_RETURN_IF_ERROR(CheckArgv(inputs.argv));
  ExecPlan plan{.exec_id = std::move(inputs.exec_id),
                .container_id = std::move(inputs.container_id),
                .process = base,
                .cgroup_dirs = std::move(inputs.cgroup_dirs),
                .cgroup_v2 = inputs.cgroup_v2};
  plan.process.argv = std::move(inputs.argv);
  plan.process.terminal = inputs.terminal;
  // A container that was made without a terminal knows none, and programs ask for it there.
  if (inputs.terminal && !Sets(plan.process.env, "TERM=")) plan.process.env.push_back("TERM=xterm");
  plan.process.seccomp_bpf = std::move(inputs.seccomp_bpf);
  plan.process.seccomp_flags = inputs.seccomp_flags;
  return plan;
}

}  // namespace crisp::runtime
