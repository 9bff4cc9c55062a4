#ifndef CRISP_RUNTIME_SHIM_POD_SETUP_H_
#define CRISP_RUNTIME_SHIM_POD_SETUP_H_

#include "runtime/shim/sys.h"

namespace crisp::shim {

// What can be made of a pod before it is known: the shim's mount namespace and the pod's NET, IPC
// and UTS ones, and therein the sysctls and the shm of the usual plan, whose bytes must stay, and
// the mounts that nearly every container has of them. False and g_error on failure.
bool MakeSpare(const PodView& usual);
// Sets the pod up as the plan says, in this process, which may have been a spare: then the plan
// must ask for all of those namespaces and for no user namespace. False and g_error on failure.
bool SetUpPod(const PodView& plan);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_POD_SETUP_H_
