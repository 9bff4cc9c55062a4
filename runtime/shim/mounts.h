#ifndef CRISP_RUNTIME_SHIM_MOUNTS_H_
#define CRISP_RUNTIME_SHIM_MOUNTS_H_

#include "runtime/shim/sys.h"

namespace crisp::shim {

// Detached mounts. All return a descriptor of the mount, or -1 with g_error set; nothing is left
// anywhere in a mount namespace, so closing the descriptor undoes it.

// Mounts that came with a plan: "fd:<n>" among its layers is the n-th.
struct LayerFds {
  const int* fds = nullptr;
  int count = 0;
};

// Overlay of the layers, topmost first. With `upper`: writable and volatile. Without: read-only
// (one single layer is then a read-only clone of it). Seen through the pod's user namespace, if
// any.
int MountOverlay(const List<Str>& lowers,
                 const LayerFds& layers,
                 const char* upper,
                 const char* work,
                 const char* label);

// A new file system instance. Made by whoever calls: a pod's proc, mqueue, sysfs or cgroup view is
// that of the caller's namespaces.
int MountFs(const MountView& mount, const char* label);

// The usual one of a type, ahead of the mount that asks for it. -1: that has to do without.
int MountAhead(const char* type);

// Whether a bind mount's source is one of the pod's own: "pod:shm", or "pod:" and the name of a
// file.
bool IsPodSource(const MountView& mount);

// A clone of a host path (symlinks followed), or of what is the pod's own. -1 with errno ENOENT
// when it does not exist.
int MountBind(const MountView& mount);

// A /dev of the pod's own: a tmpfs with the plan's devices below it and the customary symlinks.
// Returns it; devices that cannot be made with mknod (user namespace) are left to the caller.
int MountDev(const MountView& mount, const List<DeviceView>& devices, const char* label);
bool MakeDeviceNode(int dirfd, const char* name, const DeviceView& device);
// Path below the destination of a /dev mount, or nullptr when the device is elsewhere.
const char* BelowDev(const MountView& dev, const DeviceView& device);

// Attributes, propagation and id mapping that the plan asks for. Read-only of a fresh file system
// is left out (mount points are still to be made in it) until FinishAttributes.
bool ApplyAttributes(int fd, const MountView& mount);
bool FinishAttributes(int fd, const MountView& mount);

// mount_setattr on one mount or (recursively) a tree.
bool SetAttributes(
    int fd, uint64_t set, uint64_t propagation, int userns, bool recursive, const char* name);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_MOUNTS_H_
