#ifndef CRISP_CLI_EXPLAIN_EXPLAIN_FACTS_H_
#define CRISP_CLI_EXPLAIN_EXPLAIN_FACTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "runtime/cgroup/cgroup_stats.h"

namespace crisp::cli {

// What `crisp explain` knows of one container. Plain values, so that what is printed is a function
// of them alone (explain_text.h). explain_collect.h finds them out. nullopt stands for what could
// not be found out.

struct NamespaceFact {
  std::string name;  // as in /proc/PID/ns: "pid", "mnt", "net", …
  uint64_t inode = 0;
  bool of_host = false;
  std::vector<std::string> shared_with;  // containers of the same pod, by name
};

struct IdMapFact {
  uint64_t inside = 0, outside = 0, count = 0;
};

struct LayerFact {
  std::string digest;
  uint64_t bytes = 0;           // as the registry has it
  uint64_t unpacked_bytes = 0;  // on the disk
  std::string created_by;
  std::vector<std::string> images;      // others that have it, by name
  std::vector<std::string> containers;  // others that stand on it, by name
};

struct MountFact {
  std::string destination, source, type;
  std::vector<std::string> options;
};

struct DeviceFact {
  std::string path;
  char type = 'c';
  int64_t major = 0, minor = 0;
};

struct PortFact {
  std::string host_address, protocol;
  int host_port = 0, container_port = 0;
};

// A side of a pod's link, as the side itself counts.
struct InterfaceFact {
  std::string name, mac;
  int mtu = 0;
  uint64_t received_bytes = 0, sent_bytes = 0, received_drops = 0, sent_drops = 0;
};

struct NetworkFact {
  bool of_host = false;
  std::vector<std::string> addresses;
  std::optional<InterfaceFact> inside;  // in the pod
  std::string veth, bridge;             // on the node; empty where there are none
  std::vector<PortFact> ports;
  std::string ingress_limit, egress_limit;  // as the annotations say; empty for none
};

struct StepFact {
  std::string operation, step;
  absl::Time at;
  absl::Duration took;
};

struct LimitFacts {
  int64_t cpu_quota = 0, cpu_period = 0, cpu_shares = 0;  // microseconds; 0: not limited
  std::string cpus;                                       // of a cpuset; empty: all
  int64_t oom_score_adj = 0;
};

struct SecurityFacts {
  bool privileged = false, read_only_root = false, no_new_privileges = false;
  std::string user;                       // "0:0", with further groups
  std::vector<std::string> capabilities;  // that its first process may use
  int bounding = 0;                       // how many it may gain by execve(2)
  std::string seccomp_default;            // "SCMP_ACT_ERRNO"; empty: no filter
  size_t seccomp_rules = 0;
  std::string apparmor, selinux;
};

struct ContainerLine {
  std::string id, name, state;
};

struct ExplainFacts {
  std::string id, name, pod_id, pod_name, image, image_id;
  std::string state;  // "running", "created", "exited", "unknown"; of a pod "ready", "not ready"
  std::string reason, message;
  int exit_code = 0;
  absl::Time created, started, finished;  // the epoch: not yet
  std::vector<std::string> args;
  std::string directory;
  int64_t pid = 0;  // 0: it has no process

  std::vector<NamespaceFact> namespaces;  // empty without a process
  std::vector<IdMapFact> user_map;        // empty in the host's user namespace
  std::vector<std::string> cgroups;       // directories
  std::optional<runtime::CgroupStats> usage;
  LimitFacts limits;
  std::vector<LayerFact> layers;                         // the lowest first
  std::optional<uint64_t> written_bytes, written_files;  // of the writable layer
  std::vector<MountFact> mounts;
  std::vector<DeviceFact> devices;
  SecurityFacts security;
  NetworkFact network;
  std::string log;
  std::optional<uint64_t> log_bytes;
  std::vector<StepFact> steps;            // in the order in which they began
  std::vector<ContainerLine> containers;  // of a pod
};

}  // namespace crisp::cli

#endif  // CRISP_CLI_EXPLAIN_EXPLAIN_FACTS_H_
