#ifndef CRISP_RUNTIME_SHIM_PROPAGATION_H_
#define CRISP_RUNTIME_SHIM_PROPAGATION_H_

#include "runtime/shim/container.h"

namespace crisp::shim {

// Binds that mounts below their source are to reach as long as the container runs. The kernel
// propagates nothing into a tree that is attached nowhere (mount_namespaces(7) is silent on it), so
// a mount that appears below the source while a clone waits to be attached would be lost. Therefore
// the child asks the shim, which may enter the host's mount namespace, for another clone, attaches
// it, and asks if the host's mounts have changed meanwhile. If so, it takes the clone off and
// begins again.

// True if it is such a bind. CreateContainer() has cloned it too, to tell then that there is
// nothing.
bool Follows(const MountView& mount);
bool AnyFollows(const ContainerView& plan);

// In the shim: answers kBind and kBound of the child at the other end of `socket`. `table` is the
// host's /proc/self/mountinfo for this start; the first call opens it.
bool ServeBind(int socket, const Prepared& prepared, const ChildReport& asked, Fd* table);

// In the child: asks for a clone of the plan's mount number `index`. -1 with g_error.
int AskForBind(int status, int index);
// 1 if something was mounted or unmounted on the host since AskForBind(), 0 if nothing was. -1 with
// g_error.
int AskForChange(int status, int index);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_PROPAGATION_H_
