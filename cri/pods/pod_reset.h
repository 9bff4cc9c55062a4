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

// Ends every pod of an instance that no daemon serves. It finds them by their rows, the copies of
// these, their directories and the kernel, whichever of them exist, and asks nobody. `network` is
// null if it could not be opened. Everything is tried once, within `operation`. Returns a line for
// each thing that could not be undone. If there is none, nothing but directories is left.
std::vector<std::string> EndEveryPod(const ResetOptions& options,
                                     network::PodNetwork* network,
                                     const Operation& operation);

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_POD_RESET_H_
