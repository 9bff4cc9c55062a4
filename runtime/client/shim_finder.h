#ifndef CRISP_RUNTIME_CLIENT_SHIM_FINDER_H_
#define CRISP_RUNTIME_CLIENT_SHIM_FINDER_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/operation.h"
#include "runtime/handler/processes.h"

namespace crisp::runtime {

// Shims as the kernel knows them, in case neither a socket nor a record leads to one.

using FoundShim = FoundPod;

// The shims that hold a directory <pods_dir>/<pod id> open, existing or removed. Looks at every
// process of the machine, so it is not for a path that is to be quick. An empty `pod_id` stands for
// all pods.
absl::StatusOr<std::vector<FoundShim>> FindShims(const std::string& pods_dir,
                                                 const std::string& pod_id);

// Sends SIGKILL to those, and to children of theirs that have not reached their program, and waits
// until they are gone. DeadlineExceeded, naming the first that is not. Their containers die with
// them.
absl::Status KillShims(const std::string& pods_dir,
                       const std::string& pod_id,
                       const Operation& operation);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CLIENT_SHIM_FINDER_H_
