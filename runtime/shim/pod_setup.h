#ifndef CRISP_RUNTIME_SHIM_POD_SETUP_H_
#define CRISP_RUNTIME_SHIM_POD_SETUP_H_

#include "runtime/shim/sys.h"

namespace crisp::shim {

// Makes what can be made of a pod before it is known: the shim's mount namespace; the pod's NET,
// IPC and UTS ones; in them the sysctls and the shm of the usual plan, whose bytes must stay, and
// the mounts that nearly every container has of them. False, with g_error, on failure.
bool MakeSpare(const PodView& usual);
// Sets the pod up by the plan, in this process. If that has been a spare, the plan must ask for all
// of those namespaces and for no user namespace. False, with g_error, on failure.
bool SetUpPod(const PodView& plan);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_POD_SETUP_H_
