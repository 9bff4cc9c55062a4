#ifndef CRISP_RUNTIME_CGROUP_CGROUP_SYSTEMD_H_
#define CRISP_RUNTIME_CGROUP_CGROUP_SYSTEMD_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/cancel.h"
#include "runtime/cgroup/cgroup.h"

namespace crisp::runtime {

// The systemd cgroup driver asks systemd for one thing: a delegated scope per pod, made once, with
// the pod's shim in it. Containers and execs are plain groups below it that systemd leaves alone
// (Delegate=yes), so nothing else talks to D-Bus, and a daemon-reload rewrites no container's
// limits or device rules.

// "crisp-<pod id>.scope"; PodScopePath() of cgroup_layout.h says where its group is.
std::string PodScopeName(absl::string_view pod_id);

// Starts the scope in `slice` ("kubepods-pod1.slice") around these processes, and returns when
// systemd has moved them. A failed unit of that name is reset first; a running one is
// AlreadyExists. Unavailable when the system bus or systemd cannot be reached, DeadlineExceeded
// when `cancel` fires first (the scope may come to be all the same: it goes with its last process).
absl::Status StartPodScope(absl::string_view slice,
                           absl::string_view pod_id,
                           const std::vector<int32_t>& pids,
                           const Cancel& cancel);

// OK when systemd answers on the system bus; else as above.
absl::Status AskSystemd(const Cancel& cancel);

// Puts a pod's shim, and its child that is the pod's pid 1 if there is one, into a scope as above
// and there into `leaf`, a group below it: on v2 no process may be where controllers are handed
// down. Errors as above, and those of Cgroup::CreateDirs.
absl::Status PlaceShim(const Cgroup& leaf,
                       absl::string_view slice,
                       absl::string_view pod_id,
                       pid_t shim,
                       const Cancel& cancel);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CGROUP_CGROUP_SYSTEMD_H_
