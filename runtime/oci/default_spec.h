#ifndef CRISP_RUNTIME_OCI_DEFAULT_SPEC_H_
#define CRISP_RUNTIME_OCI_DEFAULT_SPEC_H_

#include <string>
#include <vector>

#include "runtime/oci/oci_spec.h"

namespace crisp::runtime {

// The defaults of a container. Pure values.

struct DefaultSpecOptions {
  bool privileged = false;       // rw /sys and cgroup, no masks, all capabilities of the daemon
  bool cgroup_writable = false;  // rw cgroup although not privileged
  bool host_network = false;    // /sys then shows the host's interfaces: same mount, kept read-only
  bool user_namespace = false;  // with host_network: /sys is a read-only recursive bind
  bool host_ipc = false;        // /dev/shm and /dev/mqueue of the host
  uint64_t available_capabilities = ~uint64_t{0};
};

// A whole spec without args, root, namespaces and cgroup path: mounts, device rules, capabilities,
// masked and read-only paths, PATH in env, RLIMITs none.
OciSpec DefaultSpec(const DefaultSpecOptions& options);

// proc, /dev, /dev/pts, /dev/mqueue, /dev/shm, /sys, /sys/fs/cgroup, in mounting order.
std::vector<OciMount> DefaultMounts(const DefaultSpecOptions& options);
// /dev/{null,zero,full,random,urandom,tty}; they are in every container's /dev.
std::vector<OciDevice> DefaultDevices();
// Denies all, then allows mknod of anything, then rwm for the default devices, ptys and console.
std::vector<OciDeviceRule> DefaultDeviceRules();
// One rule that allows all.
std::vector<OciDeviceRule> PrivilegedDeviceRules();
std::vector<std::string> DefaultMaskedPaths();
std::vector<std::string> DefaultReadonlyPaths();

inline constexpr char kDefaultPath[] =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// bounding = effective = permitted = mask, the others empty (CVE-2022-27652).
OciCapabilities CapabilitySets(uint64_t mask);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_OCI_DEFAULT_SPEC_H_
