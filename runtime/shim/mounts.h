#ifndef CRISP_RUNTIME_SHIM_MOUNTS_H_
#define CRISP_RUNTIME_SHIM_MOUNTS_H_

#include "runtime/shim/sys.h"

namespace crisp::shim {

// Detached mounts. All functions return a descriptor of the mount, or -1 with g_error. Nothing is
// left in any mount namespace, so closing the descriptor undoes the mount.

// Mounts that came with a plan: "fd:<n>" among its layers is the n-th.
struct LayerFds {
  const int* fds = nullptr;
  int count = 0;
};

// Mounts an overlay of the layers, topmost first. With `upper` it is writable and volatile.
// Without, it is read-only, and one single layer is then a read-only clone of it. Seen through the
// pod's user namespace, if it has one.
int MountOverlay(const List<Str>& lowers,
                 const LayerFds& layers,
                 const char* upper,
                 const char* work,
                 const char* label);

// Makes a new file system instance. A pod's proc, mqueue, sysfs or cgroup view is that of the
// caller's namespaces.
int MountFs(const MountView& mount, const char* label);

// Makes the usual mount of a type ahead of the plan that asks for it. -1 if that has to do without.
int MountAhead(const char* type);

// True if a bind mount's source is one of the pod's own: "pod:shm", or "pod:" and the name of a
// file.
bool IsPodSource(const MountView& mount);

// Clones a host path (symlinks are followed), or one of the pod's own. -1, with errno ENOENT, if it
// does not exist.
int MountBind(const MountView& mount);

// Makes a /dev of the pod's own: a tmpfs with the plan's devices below it and the customary
// symlinks. Devices that cannot be made with mknod (user namespace) are left to the caller.
int MountDev(const MountView& mount, const List<DeviceView>& devices, const char* label);
bool MakeDeviceNode(int dirfd, const char* name, const DeviceView& device);
// The path below the destination of a /dev mount, or nullptr if the device is elsewhere.
const char* BelowDev(const MountView& dev, const DeviceView& device);

// Applies the plan's attributes, propagation and id mapping. Read-only of a fresh file system is
// left out until FinishAttributes(), because mount points are still to be made in it.
bool ApplyAttributes(int fd, const MountView& mount);
bool FinishAttributes(int fd, const MountView& mount);

// mount_setattr on one mount or (recursively) a tree.
bool SetAttributes(
    int fd, uint64_t set, uint64_t propagation, int userns, bool recursive, const char* name);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_MOUNTS_H_
