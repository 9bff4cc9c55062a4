#ifndef CRISP_CRI_NODE_HOST_FACTS_H_
#define CRISP_CRI_NODE_HOST_FACTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/lsm/selinux.h"
#include "runtime/oci/oci_spec.h"
#include "runtime/paths/host_paths.h"

namespace crisp::cri {

// The facts about this machine that matter to containers.
struct HostFacts {
  bool cgroup_v2 = false;
  bool apparmor = false;
  std::string default_apparmor;  // the profile of containers that name none; empty if there is none
  runtime::SelinuxHost selinux;
  uint64_t capabilities = 0;                // those that the daemon may hand on
  std::vector<runtime::OciDevice> devices;  // of the host's /dev, for privileged containers
  std::vector<std::string> hugepage_sizes;
};

// The functions that ask the machine. They are thread-safe, and read proc, sys and dev.

// Reads all facts but `devices`. Devices change, so each privileged create calls ScanDevices().
HostFacts ReadHostFacts(const runtime::CgroupLayout& layout);

// The device nodes below `path` (a directory or one node), with `shown` in place of `path`. Of
// symlinks, only `path` itself is followed. Ptys, shm and console stay out. NotFound, or
// InvalidArgument for a file that is not a device.
absl::StatusOr<std::vector<runtime::OciDevice>> ScanDevices(runtime::HostPaths& paths,
                                                            const std::string& path,
                                                            const std::string& shown);

// True if the path does not answer, or no helper could ask it. False if the status is the path's
// answer.
bool IsPathsTrouble(const absl::Status& status);

// "shared", "slave" or "private": the propagation of the mount that holds the absolute, resolved
// `path`.
std::string PropagationOf(absl::string_view mountinfo, absl::string_view path);

}  // namespace crisp::cri

#endif  // CRISP_CRI_NODE_HOST_FACTS_H_
