#include "runtime/oci/oci_spec.h"

#include "runtime/oci/oci_spec_archive.h"

namespace crisp::runtime {

template <class A>
void Describe(A& a, OciUser& v) {
  a.Required("uid", v.uid);
  a.Required("gid", v.gid);
  a.Field("umask", v.umask);
  a.Field("additionalGids", v.additional_gids);
}

template <class A>
void Describe(A& a, OciConsoleSize& v) {
  a.Required("height", v.height);
  a.Required("width", v.width);
}

template <class A>
void Describe(A& a, OciCapabilities& v) {
  a.Field("bounding", v.bounding);
  a.Field("effective", v.effective);
  a.Field("inheritable", v.inheritable);
  a.Field("permitted", v.permitted);
  a.Field("ambient", v.ambient);
}

template <class A>
void Describe(A& a, OciRlimit& v) {
  a.Required("type", v.type);
  a.Required("soft", v.soft);
  a.Required("hard", v.hard);
}

template <class A>
void Describe(A& a, OciProcess& v) {
  a.Field("terminal", v.terminal);
  a.Field("consoleSize", v.console_size);
  a.Field("user", v.user);
  a.Field("args", v.args);
  a.Field("env", v.env);
  a.AbsolutePath("cwd", v.cwd);
  a.Field("capabilities", v.capabilities);
  a.Field("rlimits", v.rlimits);
  a.Field("noNewPrivileges", v.no_new_privileges);
  a.Field("apparmorProfile", v.apparmor_profile);
  a.Field("oomScoreAdj", v.oom_score_adj);
  a.Field("selinuxLabel", v.selinux_label);
  a.Rest(v.other);
}

template <class A>
void Describe(A& a, OciRoot& v) {
  a.Required("path", v.path);
  a.Field("readonly", v.readonly);
}

template <class A>
void Describe(A& a, OciIdMapping& v) {
  a.Required("containerID", v.container_id);
  a.Required("hostID", v.host_id);
  a.Required("size", v.size);
}

template <class A>
void Describe(A& a, OciMount& v) {
  a.Required("destination", v.destination);
  a.Field("type", v.type);
  a.Field("source", v.source);
  a.Field("options", v.options);
  a.Field("uidMappings", v.uid_mappings);
  a.Field("gidMappings", v.gid_mappings);
}

template <class A>
void Describe(A& a, OciHook& v) {
  a.Required("path", v.path);
  a.Field("args", v.args);
  a.Field("env", v.env);
  a.Field("timeout", v.timeout);
}

template <class A>
void Describe(A& a, OciHooks& v) {
  a.Field("prestart", v.prestart);
  a.Field("createRuntime", v.create_runtime);
  a.Field("createContainer", v.create_container);
  a.Field("startContainer", v.start_container);
  a.Field("poststart", v.poststart);
  a.Field("poststop", v.poststop);
}

template <class A>
void Describe(A& a, OciCpu& v) {
  a.Field("shares", v.shares);
  a.Field("quota", v.quota);
  a.Field("burst", v.burst);
  a.Field("period", v.period);
  a.Field("realtimeRuntime", v.realtime_runtime);
  a.Field("realtimePeriod", v.realtime_period);
  a.Field("cpus", v.cpus);
  a.Field("mems", v.mems);
  a.Field("idle", v.idle);
}

template <class A>
void Describe(A& a, OciMemory& v) {
  a.Field("limit", v.limit);
  a.Field("reservation", v.reservation);
  a.Field("swap", v.swap);
  a.Field("kernel", v.kernel);
  a.Field("kernelTCP", v.kernel_tcp);
  a.Field("swappiness", v.swappiness);
  a.Field("disableOOMKiller", v.disable_oom_killer);
  a.Field("useHierarchy", v.use_hierarchy);
  a.Field("checkBeforeUpdate", v.check_before_update);
}

template <class A>
void Describe(A& a, OciWeightDevice& v) {
  a.Required("major", v.major);
  a.Required("minor", v.minor);
  a.Field("weight", v.weight);
  a.Field("leafWeight", v.leaf_weight);
}

template <class A>
void Describe(A& a, OciThrottleDevice& v) {
  a.Required("major", v.major);
  a.Required("minor", v.minor);
  a.Required("rate", v.rate);
}

template <class A>
void Describe(A& a, OciBlockIo& v) {
  a.Field("weight", v.weight);
  a.Field("leafWeight", v.leaf_weight);
  a.Field("weightDevice", v.weight_device);
  a.Field("throttleReadBpsDevice", v.throttle_read_bps);
  a.Field("throttleWriteBpsDevice", v.throttle_write_bps);
  a.Field("throttleReadIOPSDevice", v.throttle_read_iops);
  a.Field("throttleWriteIOPSDevice", v.throttle_write_iops);
}

template <class A>
void Describe(A& a, OciHugepageLimit& v) {
  a.Required("pageSize", v.page_size);
  a.Required("limit", v.limit);
}

template <class A>
void Describe(A& a, OciDeviceRule& v) {
  a.Required("allow", v.allow);
  a.Field("type", v.type);
  a.Field("major", v.major);
  a.Field("minor", v.minor);
  a.Field("access", v.access);
}

template <class A>
void Describe(A& a, OciInterfacePriority& v) {
  a.Required("name", v.name);
  a.Required("priority", v.priority);
}

template <class A>
void Describe(A& a, OciNetwork& v) {
  a.Field("classID", v.class_id);
  a.Field("priorities", v.priorities);
}

template <class A>
void Describe(A& a, OciPids& v) {
  a.Required("limit", v.limit);
}

template <class A>
void Describe(A& a, OciResources& v) {
  a.Field("devices", v.devices);
  a.Field("memory", v.memory);
  a.Field("cpu", v.cpu);
  a.Field("pids", v.pids);
  a.Field("blockIO", v.block_io);
  a.Field("hugepageLimits", v.hugepage_limits);
  a.Field("network", v.network);
  a.Field("unified", v.unified);
  a.Rest(v.other);
}

template <class A>
void Describe(A& a, OciNamespace& v) {
  a.Required("type", v.type);
  a.AbsolutePath("path", v.path);
}

template <class A>
void Describe(A& a, OciDevice& v) {
  a.Required("type", v.type);
  a.AbsolutePath("path", v.path);
  a.Field("major", v.major);
  a.Field("minor", v.minor);
  a.Field("fileMode", v.file_mode);
  a.Field("uid", v.uid);
  a.Field("gid", v.gid);
}

template <class A>
void Describe(A& a, OciSeccompArg& v) {
  a.Required("index", v.index);
  a.Required("value", v.value);
  a.Field("valueTwo", v.value_two);
  a.Required("op", v.op);
}

template <class A>
void Describe(A& a, OciSeccompRule& v) {
  a.Required("names", v.names);
  a.Required("action", v.action);
  a.Field("errnoRet", v.errno_ret);
  a.Field("args", v.args);
}

template <class A>
void Describe(A& a, OciSeccomp& v) {
  a.Required("defaultAction", v.default_action);
  a.Field("defaultErrnoRet", v.default_errno_ret);
  a.Field("architectures", v.architectures);
  a.Field("flags", v.flags);
  a.Field("listenerPath", v.listener_path);
  a.Field("listenerMetadata", v.listener_metadata);
  a.Field("syscalls", v.syscalls);
}

template <class A>
void Describe(A& a, OciLinux& v) {
  a.Field("uidMappings", v.uid_mappings);
  a.Field("gidMappings", v.gid_mappings);
  a.Field("sysctl", v.sysctl);
  a.Field("resources", v.resources);
  a.Field("cgroupsPath", v.cgroups_path);
  a.Field("namespaces", v.namespaces);
  a.Field("devices", v.devices);
  a.Field("seccomp", v.seccomp);
  a.Field("rootfsPropagation", v.rootfs_propagation);
  a.Field("maskedPaths", v.masked_paths);
  a.Field("readonlyPaths", v.readonly_paths);
  a.Field("mountLabel", v.mount_label);
  a.Field("intelRdt", v.intel_rdt);
  a.Rest(v.other);
}

template <class A>
void Describe(A& a, OciSpec& v) {
  a.Required("ociVersion", v.oci_version);
  a.Field("process", v.process);
  a.Field("root", v.root);
  a.Field("hostname", v.hostname);
  a.Field("domainname", v.domainname);
  a.Field("mounts", v.mounts);
  a.Field("hooks", v.hooks);
  a.Field("annotations", v.annotations);
  a.Field("linux", v.linux_);
  a.Rest(v.other);
}

namespace {

template <class T>
Json Written(const T& value) {
  JsonWriter writer;
  Describe(writer, const_cast<T&>(value));
  return writer.Take();
}

template <class T>
absl::StatusOr<T> Parsed(const Json& json) {
  T value;
  absl::Status status;
  JsonReader reader(json, "", &status);
  if (status.ok()) Describe(reader, value);
  if (!status.ok()) return status;
  return value;
}

}  // namespace

const OciNamespace* OciSpec::FindNamespace(const std::string& type) const {
  for (const OciNamespace& entry : linux_.namespaces) {
    if (entry.type == type) return &entry;
  }
  return nullptr;
}

Json ToJson(const OciSpec& spec) { return Written(spec); }
Json ToJson(const OciProcess& process) { return Written(process); }
Json ToJson(const OciResources& resources) { return Written(resources); }
Json ToJson(const OciSeccomp& seccomp) { return Written(seccomp); }

absl::StatusOr<OciSpec> OciSpecFromJson(const Json& json) { return Parsed<OciSpec>(json); }
absl::StatusOr<OciProcess> OciProcessFromJson(const Json& json) { return Parsed<OciProcess>(json); }
absl::StatusOr<OciResources> OciResourcesFromJson(const Json& json) {
  return Parsed<OciResources>(json);
}
absl::StatusOr<OciSeccomp> OciSeccompFromJson(const Json& json) { return Parsed<OciSeccomp>(json); }

}  // namespace crisp::runtime
