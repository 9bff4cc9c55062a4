#ifndef CRISP_RUNTIME_SHIM_POD_INIT_H_
#define CRISP_RUNTIME_SHIM_POD_INIT_H_

#include "runtime/shim/sys.h"

namespace crisp::shim {

// Starts pid 1 of the pod's shared PID namespace, with the plan's label, in its cgroup, and enters
// both in g_pod. Everything else of the pod is set up already. False, with g_error, on failure.
bool StartPodInit(const PodView& plan);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_POD_INIT_H_
