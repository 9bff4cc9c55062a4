#ifndef CRISP_CRI_PODS_POD_RESET_H_
#define CRISP_CRI_PODS_POD_RESET_H_

#include <string>
#include <vector>

#include "base/operation.h"
#include "network/pod/pod_network.h"
#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/handler/pod_runtime.h"

namespace crisp::cri {

struct ResetOptions {
  std::string state;  // the instance's state directory
  runtime::CgroupDriver cgroup_driver = runtime::CgroupDriver::kCgroupfs;
  // Of every type of runtime that there is; they outlive the call.
  std::vector<const runtime::PodFinder*> finders;
};

// Ends every pod of an instance that no daemon serves: by its rows, their copies, its directories
// and what the kernel shows, whichever of them there are, and asks nobody. `network` may be null:
// it could not be opened. Everything is tried once, within `operation`. Returns what could not be
// undone, one line each; empty: nothing is left but directories.
std::vector<std::string> EndEveryPod(const ResetOptions& options,
                                     network::PodNetwork* network,
                                     const Operation& operation);

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_POD_RESET_H_
