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

// What this machine offers to containers.
struct HostFacts {
  bool cgroup_v2 = false;
  bool apparmor = false;
  std::string default_apparmor;  // the profile of containers that name none; empty: there is none
  runtime::SelinuxHost selinux;
  uint64_t capabilities = 0;                // what the daemon may hand on
  std::vector<runtime::OciDevice> devices;  // of the host's /dev, for privileged containers
  std::vector<std::string> hugepage_sizes;
};

// What asks the machine. All thread-safe; they read proc, sys and dev.

// Without `devices`, which change: ScanDevices() at each privileged create.
HostFacts ReadHostFacts(const runtime::CgroupLayout& layout);

// The device nodes below `path` (a directory or one node; symlinks are followed for `path` itself
// only), with `shown` in place of `path`. Ptys, shm and console stay out. NotFound, InvalidArgument
// for what is no device.
absl::StatusOr<std::vector<runtime::OciDevice>> ScanDevices(runtime::HostPaths& paths,
                                                            const std::string& path,
                                                            const std::string& shown);

// Whether it is the path that does not answer, or no helper that could ask it; not what it
// answered.
bool IsPathsTrouble(const absl::Status& status);

// "shared", "slave" or "private": of the mount that holds the absolute, resolved `path`.
std::string PropagationOf(absl::string_view mountinfo, absl::string_view path);

}  // namespace crisp::cri

#endif  // CRISP_CRI_NODE_HOST_FACTS_H_
