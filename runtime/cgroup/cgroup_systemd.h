#ifndef CRISP_RUNTIME_CGROUP_CGROUP_SYSTEMD_H_
#define CRISP_RUNTIME_CGROUP_CGROUP_SYSTEMD_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/operation.h"
#include "runtime/cgroup/cgroup.h"

namespace crisp::runtime {

// The systemd cgroup driver asks systemd for one thing: a delegated scope per pod, made once, with
// the pod's shim in it. Containers and execs are plain groups below it that systemd leaves alone
// (Delegate=yes), so nothing else talks to D-Bus, and a daemon-reload rewrites no container's
// limits or device rules.

// "crisp-<pod id>.scope"; PodScopePath() of cgroup_layout.h says where its group is.
std::string PodScopeName(absl::string_view pod_id);

// Starts the scope in `slice` ("kubepods-pod1.slice") around these processes, and returns when
// systemd has moved them. A failed unit of that name is reset first. AlreadyExists if one is
// running. Unavailable if the system bus or systemd cannot be reached. DeadlineExceeded if
// `operation` fires first; the scope may appear all the same, and ends with its last process.
absl::Status StartPodScope(absl::string_view slice,
                           absl::string_view pod_id,
                           const std::vector<int32_t>& pids,
                           const Operation& operation);

// OK if systemd answers on the system bus. Errors as above.
absl::Status AskSystemd(const Operation& operation);

// Puts a pod's shim into a scope as above, and its child that is the pod's pid 1 if there is one.
// There they go into `leaf`, a group below it, because on v2 no process may be in a group that
// hands controllers down. Errors as above, and those of Cgroup::CreateDirs.
absl::Status PlaceShim(const Cgroup& leaf,
                       absl::string_view slice,
                       absl::string_view pod_id,
                       pid_t shim,
                       const Operation& operation);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CGROUP_CGROUP_SYSTEMD_H_
