#ifndef CRISP_CLI_DOCTOR_DOCTOR_FACTS_H_
#define CRISP_CLI_DOCTOR_DOCTOR_FACTS_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cri/config/config.h"
#include "network/link/routes.h"
#include "network/values/ip_address.h"

namespace crisp::cli {

// The facts that `crisp doctor` knows of a node. They are plain values, so that every check is a
// function of them alone (doctor_checks.h). doctor_collect.h finds them out. nullopt stands for a
// fact that could not be found out.

// Something that was tried, if the process has the privilege for it.
struct Probe {
  bool tried = false;
  std::string error;  // why it does not work; empty if it does
};

struct PrivilegeFacts {
  bool root = false;
  uint64_t capabilities = 0;  // that this process may hand on, bit = number
};

struct KernelFacts {
  std::string release;                     // uname's
  std::vector<std::string> missing_calls;  // system calls that crisp makes and this kernel has not
  bool overlay =
      false;  // overlayfs is there, or is a module that the kernel loads when it is asked for
  Probe bridge, veth, nftables;
  Probe idmap;  // id-mapping a file of the root directory
  std::optional<int64_t> max_user_namespaces;
  std::vector<std::string> seccomp_actions;
};

struct CgroupFacts {
  bool mounted = false;
  bool v2 = false;
  std::set<std::string> controllers;  // by v2's names: v1's blkio is "io"
  bool systemd = false;               // systemd is the machine's init
  Probe bus;                          // asking it for something, where crisp has its driver
};

struct KubeletFacts {
  bool installed = false;  // it runs, or its configuration is there
  bool running = false;
  std::string config_error;   // why config.yaml could not be read
  std::string cgroup_driver;  // empty if not given
  std::string endpoint;       // of the flag, else of the file; empty if neither has it
  std::string endpoint_from;  // the flag or the file
  std::string image_endpoint;
};

struct DirectoryFacts {
  std::string path;     // as configured
  std::string nearest;  // itself, or the nearest parent that exists
  bool exists = false;
  std::string type;  // of the file system: "ext4", or the magic number in hex
  bool read_only = false;
  uint64_t bytes = 0, bytes_free = 0;    // free for those who are not root
  uint64_t inodes = 0, inodes_free = 0;  // 0 inodes: the file system makes them as needed
};

struct StorageFacts {
  DirectoryFacts root, state;
  std::optional<bool> root_shared;  // true if "/" is a shared mount
};

// A file or socket whose owner and mode matter.
struct PathFacts {
  std::string path;
  mode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  bool holds_layers = false;  // programs with set-user-ID are somewhere below
};

struct CniFacts {
  std::string conf_dir;
  std::vector<std::string> bin_dirs;
  std::vector<std::string> files;  // configurations, by name
  std::string error;               // why the first of them cannot be used
  std::vector<std::string> types;  // the plugins that it names
  std::set<std::string> programs;  // in bin_dirs
};

struct PortFacts {
  std::string key;      // of the configuration
  std::string address;  // HOST:PORT
  std::string holder;   // the program that listens on the port; empty if none does
};

// Other users of the built-in network's addresses on this host.
struct SubnetFacts {
  std::string error;                      // why it could not be found out
  std::vector<network::IpPrefix> in_use;  // the bridge's; empty if there is none
  std::vector<network::Route> routes;     // the host's main and local ones, but the bridge's own
  std::map<int, std::string> links;       // names
};

struct NetworkFacts {
  CniFacts cni;
  SubnetFacts subnets;
  std::vector<PortFacts> ports;
};

struct SecurityFacts {
  bool apparmor = false;         // the kernel was started with it
  bool apparmor_parser = false;  // the program is installed
  std::optional<bool> default_profile;
  bool selinux = false;  // the kernel has a policy, enforcing or not
  bool selinux_enforcing = false;
};

// A container runtime other than crisp.
struct OtherRuntime {
  std::string name;
  std::string socket;
  std::string unit;      // systemd's
  bool answers = false;  // somebody listens on the socket
  int pods = 0;          // processes that hold its pods or containers
};

struct DaemonFacts {
  std::string address;
  std::string config_error;  // why the configuration cannot be used; `config` is the default then
  std::string error;         // why it does not answer; empty if it does
  std::string version;
  std::string cgroup_driver;  // that it serves with
  int pods = 0;
  struct Condition {
    std::string name;
    bool good = false;
    std::string reason;
  };
  std::vector<Condition> conditions;
};

struct NodeFacts {
  cri::Config config;
  std::string version;  // of this program
  PrivilegeFacts privileges;
  KernelFacts kernel;
  CgroupFacts cgroups;
  KubeletFacts kubelet;
  StorageFacts storage;
  std::vector<PathFacts> paths;  // that exist
  NetworkFacts network;
  std::map<std::string, int64_t> sysctls;  // by name with dots; absent if the kernel lacks it
  SecurityFacts security;
  std::vector<OtherRuntime> others;
  DaemonFacts daemon;
};

}  // namespace crisp::cli

#endif  // CRISP_CLI_DOCTOR_DOCTOR_FACTS_H_
