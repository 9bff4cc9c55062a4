#ifndef CRISP_RUNTIME_SHIM_PROPAGATION_H_
#define CRISP_RUNTIME_SHIM_PROPAGATION_H_

#include "runtime/shim/container.h"

namespace crisp::shim {

// Binds that mounts below their source are to reach for as long as the container runs. The kernel
// propagates nothing into a tree that is attached nowhere (mount_namespaces(7) is silent on it), so
// what appears below the source while a clone waits to be attached would be lost. Therefore the
// child has the shim, who may enter the host's mount namespace, make another clone, attaches it,
// and asks whether the host's mounts have changed meanwhile: then it takes it off and begins again.

// Whether it is such a bind. CreateContainer() has cloned it too, to tell then that there is
// nothing.
bool Follows(const MountView& mount);
bool AnyFollows(const ContainerView& plan);

// In the shim: answers kBind and kBound of the child at the other end of `socket`. `table` is the
// host's /proc/self/mountinfo, of the one start; opened by the first.
bool ServeBind(int socket, const Prepared& prepared, const ChildReport& asked, Fd* table);

// In the child. Of the plan's mount number `index`; -1 and g_error.
int AskForBind(int status, int index);
// 1: something was mounted or unmounted on the host since AskForBind(), 0: nothing was. -1 and
// g_error.
int AskForChange(int status, int index);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_PROPAGATION_H_
