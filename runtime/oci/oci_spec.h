#ifndef CRISP_RUNTIME_OCI_OCI_SPEC_H_
#define CRISP_RUNTIME_OCI_OCI_SPEC_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/json.h"

namespace crisp::runtime {

// The OCI runtime specification's config.json (1.2) as plain values. The names are the spec's, in
// our case. An std::optional is "unset", which differs from zero. Members that this type does not
// model (solaris, vm, personality, timeOffsets, …) are kept in `other` and written back, so an
// external runtime sees everything that was asked for. plan_builder refuses those that it would
// have to obey.

struct OciUser {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::optional<uint32_t> umask;
  std::vector<uint32_t> additional_gids;
  bool operator==(const OciUser&) const = default;
};

struct OciConsoleSize {
  uint16_t height = 0;
  uint16_t width = 0;
  bool operator==(const OciConsoleSize&) const = default;
};

// Names with the CAP_ prefix.
struct OciCapabilities {
  std::vector<std::string> bounding, effective, inheritable, permitted, ambient;
  bool operator==(const OciCapabilities&) const = default;
};

struct OciRlimit {
  std::string type;  // "RLIMIT_NOFILE"
  uint64_t soft = 0;
  uint64_t hard = 0;
  bool operator==(const OciRlimit&) const = default;
};

struct OciProcess {
  bool terminal = false;
  std::optional<OciConsoleSize> console_size;
  OciUser user;
  std::vector<std::string> args;
  std::vector<std::string> env;  // "K=V"; the value may hold any bytes but NUL
  std::string cwd = "/";
  std::optional<OciCapabilities> capabilities;  // unset for none at all
  std::vector<OciRlimit> rlimits;
  bool no_new_privileges = false;
  std::string apparmor_profile;
  std::optional<int32_t> oom_score_adj;
  std::string selinux_label;
  Json other = Json::object();
  bool operator==(const OciProcess&) const = default;
};

struct OciRoot {
  std::string path;
  bool readonly = false;
  bool operator==(const OciRoot&) const = default;
};

struct OciIdMapping {
  uint32_t container_id = 0;
  uint32_t host_id = 0;
  uint32_t size = 0;
  bool operator==(const OciIdMapping&) const = default;
};

struct OciMount {
  std::string destination;
  std::string type;  // empty or "bind": a bind mount when `options` holds bind or rbind
  std::string source;
  std::vector<std::string> options;
  std::vector<OciIdMapping> uid_mappings, gid_mappings;
  bool operator==(const OciMount&) const = default;
};

struct OciHook {
  std::string path;
  std::vector<std::string> args, env;
  std::optional<int64_t> timeout;  // seconds
  bool operator==(const OciHook&) const = default;
};

struct OciHooks {
  std::vector<OciHook> prestart, create_runtime, create_container, start_container, poststart,
      poststop;
  bool empty() const {
    return prestart.empty() && create_runtime.empty() && create_container.empty() &&
           start_container.empty() && poststart.empty() && poststop.empty();
  }
  bool operator==(const OciHooks&) const = default;
};

struct OciCpu {
  std::optional<uint64_t> shares;
  std::optional<int64_t> quota;    // µs; -1: no limit
  std::optional<uint64_t> burst;   // µs
  std::optional<uint64_t> period;  // µs
  std::optional<int64_t> realtime_runtime;
  std::optional<uint64_t> realtime_period;
  std::string cpus;
  std::string mems;
  std::optional<int64_t> idle;
  bool operator==(const OciCpu&) const = default;
};

struct OciMemory {
  std::optional<int64_t> limit;  // bytes; -1: no limit
  std::optional<int64_t> reservation;
  std::optional<int64_t> swap;    // bytes of memory and swap together, as v1 counts; -1: no limit
  std::optional<int64_t> kernel;  // accepted, without effect (gone from Linux 5.4 on)
  std::optional<int64_t> kernel_tcp;
  std::optional<uint64_t> swappiness;
  std::optional<bool> disable_oom_killer;
  std::optional<bool> use_hierarchy;
  std::optional<bool> check_before_update;  // refuse a limit below the present usage
  bool operator==(const OciMemory&) const = default;
};

struct OciWeightDevice {
  int64_t major = 0;
  int64_t minor = 0;
  std::optional<uint16_t> weight;
  std::optional<uint16_t> leaf_weight;
  bool operator==(const OciWeightDevice&) const = default;
};

struct OciThrottleDevice {
  int64_t major = 0;
  int64_t minor = 0;
  uint64_t rate = 0;
  bool operator==(const OciThrottleDevice&) const = default;
};

struct OciBlockIo {
  std::optional<uint16_t> weight;
  std::optional<uint16_t> leaf_weight;
  std::vector<OciWeightDevice> weight_device;
  std::vector<OciThrottleDevice> throttle_read_bps, throttle_write_bps, throttle_read_iops,
      throttle_write_iops;
  bool operator==(const OciBlockIo&) const = default;
};

struct OciHugepageLimit {
  std::string page_size;  // "2MB", "1GB"
  uint64_t limit = 0;     // bytes
  bool operator==(const OciHugepageLimit&) const = default;
};

struct OciDeviceRule {
  bool allow = false;
  std::string type;              // "a", "b", "c"; empty is "a"
  std::optional<int64_t> major;  // unset or -1: any
  std::optional<int64_t> minor;
  std::string access;  // of "rwm"; empty: all
  bool operator==(const OciDeviceRule&) const = default;
};

struct OciInterfacePriority {
  std::string name;
  uint32_t priority = 0;
  bool operator==(const OciInterfacePriority&) const = default;
};

struct OciNetwork {
  std::optional<uint32_t> class_id;
  std::vector<OciInterfacePriority> priorities;
  bool operator==(const OciNetwork&) const = default;
};

struct OciPids {
  int64_t limit = 0;  // 0 or less: no limit
  bool operator==(const OciPids&) const = default;
};

struct OciResources {
  std::vector<OciDeviceRule> devices;
  OciMemory memory;
  OciCpu cpu;
  std::optional<OciPids> pids;
  OciBlockIo block_io;
  std::vector<OciHugepageLimit> hugepage_limits;
  OciNetwork network;
  std::map<std::string, std::string> unified;  // v2 file → value
  Json other = Json::object();                 // rdma, …
  bool operator==(const OciResources&) const = default;
};

struct OciNamespace {
  std::string type;  // pid, network, ipc, uts, mount, user, cgroup, time
  std::string path;  // empty: a new one
  bool operator==(const OciNamespace&) const = default;
};

struct OciDevice {
  std::string type;  // c, b, u (as c) or p
  std::string path;
  int64_t major = 0;
  int64_t minor = 0;
  std::optional<uint32_t> file_mode;
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
  bool operator==(const OciDevice&) const = default;
};

struct OciSeccompArg {
  uint32_t index = 0;
  uint64_t value = 0;
  uint64_t value_two = 0;
  std::string op;  // SCMP_CMP_EQ, …
  bool operator==(const OciSeccompArg&) const = default;
};

struct OciSeccompRule {
  std::vector<std::string> names;
  std::string action;  // SCMP_ACT_ALLOW, …
  std::optional<uint32_t> errno_ret;
  std::vector<OciSeccompArg> args;
  bool operator==(const OciSeccompRule&) const = default;
};

// A part that many specs have in common and that never changes. Copies share it, and == compares
// its contents.
template <class T>
class Shared {
 public:
  Shared() = default;
  Shared(T value)
      : part_(std::make_shared<const T>(std::move(value))) {
  }  // NOLINT(google-explicit-constructor)
  bool has_value() const { return part_ != nullptr; }
  const T& operator*() const { return *part_; }
  const T* operator->() const { return part_.get(); }
  void reset() { part_.reset(); }
  bool operator==(const Shared& other) const {
    if (part_ == other.part_) return true;
    return has_value() && other.has_value() && *part_ == *other.part_;
  }

 private:
  std::shared_ptr<const T> part_;
};

struct OciSeccomp {
  std::string default_action;
  std::optional<uint32_t> default_errno_ret;
  std::vector<std::string> architectures;  // SCMP_ARCH_X86_64, …
  std::vector<std::string> flags;          // SECCOMP_FILTER_FLAG_LOG, …
  std::string listener_path, listener_metadata;
  std::vector<OciSeccompRule> syscalls;
  bool operator==(const OciSeccomp&) const = default;
};

struct OciLinux {
  std::vector<OciIdMapping> uid_mappings, gid_mappings;
  std::map<std::string, std::string> sysctl;
  OciResources resources;
  std::string cgroups_path;
  std::vector<OciNamespace> namespaces;
  std::vector<OciDevice> devices;
  Shared<OciSeccomp> seccomp;
  std::string rootfs_propagation;  // private, slave, shared, rprivate, …
  std::vector<std::string> masked_paths, readonly_paths;
  std::string mount_label;
  Json intel_rdt;  // null when absent
  Json other = Json::object();
  bool operator==(const OciLinux&) const = default;
};

struct OciSpec {
  std::string oci_version = "1.2.0";
  OciProcess process;
  OciRoot root;
  std::string hostname;
  std::string domainname;
  std::vector<OciMount> mounts;
  OciHooks hooks;
  std::map<std::string, std::string> annotations;
  OciLinux linux_;  // "linux"; the bare word is a macro in GNU mode
  Json other = Json::object();
  bool operator==(const OciSpec&) const = default;

  // The namespace entry of this type. Null if the host's is used.
  const OciNamespace* FindNamespace(const std::string& type) const;
};

// config.json. Members at their defaults are left out, as the spec's own encoders do. Env values
// and arguments that are not UTF-8 keep their bytes in the Json; DumpJson() replaces those bytes.
Json ToJson(const OciSpec& spec);
Json ToJson(const OciProcess& process);
Json ToJson(const OciResources& resources);
Json ToJson(const OciSeccomp& seccomp);

// InvalidArgument, naming the member ("linux.resources.cpu.shares: …"), if one has the wrong type,
// an integer is out of range, a string holds NUL, a path that must be absolute is not, or a
// required member is absent. The document is untrusted (NRI, CDI, base spec files); ParseJson()
// bounds it.
absl::StatusOr<OciSpec> OciSpecFromJson(const Json& json);
absl::StatusOr<OciProcess> OciProcessFromJson(const Json& json);
absl::StatusOr<OciResources> OciResourcesFromJson(const Json& json);
absl::StatusOr<OciSeccomp> OciSeccompFromJson(const Json& json);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_OCI_OCI_SPEC_H_
