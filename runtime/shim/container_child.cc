#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "runtime/shim/container.h"
#include "runtime/shim/copy_tree.h"
#include "runtime/shim/inner_proc.h"
#include "runtime/shim/mounts.h"
#include "runtime/shim/pod.h"
#include "runtime/shim/propagation.h"
#include "runtime/shim/resolve.h"

// The work of a new container's first process between clone3 and execve.

namespace crisp::shim {
namespace {

constexpr uint64_t kMsShared = 1 << 20, kMsSlave = 1 << 19, kMsPrivate = 1 << 18;
constexpr int kMntDetach = 2;
constexpr int kMostBinds = 1000;  // each is some 0.1 ms

bool IsDirectory(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
}

bool MountOn(int mount, int target, const char* name) {
  return SysMoveMount(mount, target) == 0 || Fail("mount on", name);
}

// The same of a mount of the plan's. The kernel says of a directory and a file only "Not a
// directory".
bool MountPlanned(int mount, int target, const MountView& plan) {
  const bool directory = IsDirectory(mount);
  if (directory != IsDirectory(target)) {
    Text<400> what;
    what.Add(plan.source.empty() ? plan.type : plan.source).Add(" on ").Add(plan.destination);
    return Refuse(kInvalidArgument,
                  directory ? "a directory cannot be mounted on a file:"
                            : "a file cannot be mounted on a directory:",
                  what.overflow ? plan.destination.c_str() : what.data);
  }
  return MountOn(mount, target, plan.destination.c_str());
}

// Image volumes start with what the image has there: looked for before anything is mounted over it.
// The descriptors, -1 where there is nothing, one for each mount of the plan; nullptr and g_error.
int* OpenVolumeSources(int root, const ContainerView& plan) {
  int* sources = static_cast<int*>(Allocate((plan.mounts.size() + 1) * sizeof(int)));
  if (sources == nullptr) return nullptr;
  int index = -1;
  for (const MountView& mount : plan.mounts) {
    int& source = sources[++index];
    source = -1;
    if (!mount.copy_up || mount.kind != MountKind::kBind) continue;
    source = OpenInRoot(root, mount.destination.c_str(), O_RDONLY | O_DIRECTORY);
    if (source >= 0 || errno == ENOENT || errno == ENOTDIR) continue;
    Fail("open the image's directory", mount.destination.c_str());
    return nullptr;
  }
  return sources;
}

bool FillVolume(Fd source, int mount, const MountView& plan) {
  const Fd target(openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!target.valid()) return Fail("open the volume for", plan.destination.c_str());
  return CopyTree(source.get(), target.get());
}

// The mount that the shim has made ahead, if the plan asks for it; -1 if not.
int TakeAhead(const ContainerView& plan, const MountView& mount) {
  if (mount.kind != MountKind::kFs || mount.options.size() != 0 ||
      !(mount.source == mount.type.c_str())) {
    return -1;
  }
  if (mount.type == "sysfs" && plan.net == NamespaceMode::kPod) return g_pod.sysfs.Release();
  if (mount.type == "mqueue" && plan.ipc == NamespaceMode::kPod) return g_pod.mqueue.Release();
  return -1;
}

constexpr int kLeftOut = -2;

// Returns the descriptor of what is mounted (for later attributes), or -1 with g_error; kLeftOut
// when it may be missing and there is no place for it. `source`: of OpenVolumeSources(); taken.
int AttachOne(int root, const Prepared& prepared, const MountView& plan, int prebuilt, int source) {
  Fd filling(source);
  Fd mount(prebuilt >= 0 ? fcntl(prebuilt, F_DUPFD_CLOEXEC, 3) : -1);
  if (prebuilt < 0) {
    const ContainerView& view = prepared.view;
    mount.Reset(TakeAhead(view, plan));
    if (!mount.valid()) {
      mount.Reset(plan.kind == MountKind::kDev
                      ? MountDev(plan, view.devices, view.mount_label.c_str())
                      : MountFs(plan, view.mount_label.c_str()));
    }
    if (!mount.valid() || !ApplyAttributes(mount.get(), plan)) return -1;
  }
  if (filling.valid() && !FillVolume(static_cast<Fd&&>(filling), mount.get(), plan)) return -1;
  const Fd target(EnsureInRoot(root, plan.destination.c_str(), IsDirectory(mount.get())));
  // A volume above it that cannot be written to.
  if (!target.valid()) return plan.optional ? kLeftOut : -1;
  return MountPlanned(mount.get(), target.get(), plan) ? mount.Release() : -1;
}

// Takes the mount off its place. It is made private first, because unmounting a shared one would
// unmount what is below it on the host as well.
bool DetachMount(int mount, const char* name) {
  return SetAttributes(mount, 0, kMsPrivate, -1, true, name) &&
         ((fchdir(mount) == 0 && SysUmount(".", kMntDetach) == 0 && chdir("/") == 0) ||
          Fail("take off the mount on", name));
}

// The same of a bind that follows the host's mounts.
int AttachFollowing(int root, const MountView& plan, int index, int status) {
  const char* name = plan.destination.c_str();
  for (int attempt = 0; attempt < kMostBinds; ++attempt) {
    Fd mount(AskForBind(status, index));
    if (!mount.valid()) return -1;
    const Fd target(EnsureInRoot(root, name, IsDirectory(mount.get())));
    if (!target.valid() || !MountPlanned(mount.get(), target.get(), plan)) return -1;
    const int changed = AskForChange(status, index);
    if (changed == 0) return mount.Release();
    if (changed < 0 || !DetachMount(mount.get(), name)) return -1;
  }
  Refuse(kUnavailable, "the host's mounts change all the time; follow them on", name);
  return -1;
}

const MountView* FindDev(const ContainerView& plan, MountView* storage) {
  for (const MountView& mount : plan.mounts) {
    if (mount.kind == MountKind::kDev) {
      *storage = mount;
      return storage;
    }
  }
  return nullptr;
}

// Devices that the /dev tmpfs does not hold yet: those elsewhere, and those bound from the host.
bool PlaceDevices(int root, const Prepared& prepared) {
  MountView storage;
  const MountView* dev = FindDev(prepared.view, &storage);
  int index = -1;
  for (const DeviceView& device : prepared.view.devices) {
    const int bind = prepared.device_binds[++index];
    if (bind < 0 && dev != nullptr && BelowDev(*dev, device) != nullptr) continue;
    if (bind >= 0) {
      const Fd target(EnsureInRoot(root, device.path.c_str(), false));
      if (!target.valid() || !MountOn(bind, target.get(), device.path.c_str())) return false;
      continue;
    }
    Path parent;
    const char* slash = strrchr(device.path.c_str(), '/');
    if (slash == nullptr) return Refuse(kInvalidArgument, "device path", device.path.c_str());
    parent.Add(device.path.data, static_cast<size_t>(slash - device.path.data));
    const Fd directory(EnsureInRoot(root, parent.size == 0 ? "/" : parent.data, true));
    if (!directory.valid()) return false;
    (void)unlinkat(directory.get(), slash + 1, 0);
    if (!MakeDeviceNode(directory.get(), slash + 1, device)) return false;
  }
  return true;
}

// Attaches `mask` there, which serves for the next one again: nothing is looked up by a name for
// it.
bool MaskOne(int target, const Fd& mask, bool* attached, const char* name) {
  if (!*attached) {
    *attached = MountOn(mask.get(), target, name);
    return *attached;
  }
  const Fd clone(SysOpenTree(mask.get(), "", OPEN_TREE_CLONE | AT_EMPTY_PATH));
  return clone.valid() ? MountOn(clone.get(), target, name) : Fail("clone the mask of", name);
}

// Hides paths under an empty directory or a null device of the shim's own making.
bool MaskPaths(int root, const Prepared& prepared) {
  bool directory_attached = false, file_attached = false;
  for (const Str& path : prepared.view.masked_paths) {
    const Fd target(OpenInRoot(root, path.c_str(), O_PATH));
    if (!target.valid()) {
      if (errno == ENOENT || errno == ENOTDIR) continue;
      return Fail("open the path to mask", path.c_str());
    }
    const bool masked =
        IsDirectory(target.get())
            ? MaskOne(target.get(), prepared.mask_directory, &directory_attached, path.c_str())
            : MaskOne(target.get(), prepared.mask_file, &file_attached, path.c_str());
    if (!masked) return false;
  }
  return true;
}

bool MakeReadOnly(int root, const ContainerView& plan) {
  for (const Str& path : plan.readonly_paths) {
    const Fd target(OpenInRoot(root, path.c_str(), O_PATH));
    if (!target.valid()) {
      if (errno == ENOENT || errno == ENOTDIR) continue;
      return Fail("open the path to make read-only", path.c_str());
    }
    const Fd clone(SysOpenTree(target.get(), "", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE));
    if (!clone.valid()) return Fail("clone the read-only path", path.c_str());
    if (!SetAttributes(clone.get(), MOUNT_ATTR_RDONLY, 0, -1, true, path.c_str()) ||
        !MountOn(clone.get(), target.get(), path.c_str())) {
      return false;
    }
  }
  return true;
}

// The terminal's slave becomes /dev/console as well.
int SetUpTerminal(int root, int devpts, const ContainerView& plan, int status) {
  if (devpts < 0) {
    Refuse(kInvalidArgument, "open a terminal: the container has no devpts");
    return -1;
  }
  Fd slave(OpenTerminal(devpts, plan.process, status));
  if (!slave.valid()) return -1;
  const Fd console(EnsureInRoot(root, "/dev/console", false));
  const Fd clone(SysOpenTree(slave.get(), "", OPEN_TREE_CLONE | AT_EMPTY_PATH));
  if (!clone.valid()) {
    Fail("clone the terminal");
    return -1;
  }
  if (!console.valid() || !MountOn(clone.get(), console.get(), "/dev/console")) return -1;
  return slave.Release();
}

// A user namespace may mount its proc only where there is one already, and a label is that of the
// pod's own empty slot.
bool StartsBlank(const ContainerView& plan) {
  return !g_pod.has_userns() && plan.mount_label.empty();
}

bool EnterBlank() {
  return (SysSetns(g_pod.blank.get(), CLONE_NEWNS) == 0 && SysUnshare(CLONE_NEWNS) == 0) ||
         Fail("create the container's mount namespace");
}

bool PivotInto() {
  if (SysPivotRoot(".", ".") != 0) return Fail("pivot into the root");
  // The old root now lies on top of the new one.
  if (SysUmount(".", kMntDetach) != 0) return Fail("detach the old root");
  return true;
}

bool EnterRoot(int root, const ContainerView& plan) {
  if (fchdir(root) != 0) return Fail("enter the root");
  if (!StartsBlank(plan)) {
    if (!PivotInto()) return false;
  } else if (chroot(".") != 0) {  // it is mounted over the blank one's already
    return Fail("change to the root");
  }
  if (chdir("/") != 0) return Fail("enter the new root");
  const uint64_t propagation = plan.rootfs_propagation == Propagation::kShared  ? kMsShared
                               : plan.rootfs_propagation == Propagation::kSlave ? kMsSlave
                                                                                : 0;
  return SetAttributes(root, 0, propagation, -1, false, "the root");
}

// Root, mounts, devices, masks; *slave is the terminal's end for the process.
bool AssembleRoot(const StartPlan& start, int* slave) {
  const Prepared& prepared = *start.prepared;
  const ContainerView& plan = prepared.view;
  const int root = prepared.root.get();
  const bool blank = StartsBlank(plan);
  if (blank && !EnterBlank()) return false;
  const Fd slot(open(blank ? "/" : kSlotRoot, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!MountOn(root, slot.get(), "the root's slot")) return false;
  int devpts = -1, index = -1;
  const int* sources = OpenVolumeSources(root, plan);
  if (sources == nullptr) return false;
  int* attached = static_cast<int*>(Allocate((plan.mounts.size() + 1) * sizeof(int)));
  if (attached == nullptr) return false;
  for (const MountView& mount : plan.mounts) {
    attached[++index] = -1;
    if (prepared.skipped[index]) continue;
    attached[index] =
        Follows(mount) ? AttachFollowing(root, mount, index, start.status)
                       : AttachOne(root, prepared, mount, prepared.mounts[index], sources[index]);
    if (attached[index] < 0 && attached[index] != kLeftOut) return false;
    if (mount.kind == MountKind::kFs && mount.type == "devpts") devpts = attached[index];
  }
  if (!PlaceDevices(root, prepared)) return false;
  if (plan.process.terminal) {
    *slave = SetUpTerminal(root, devpts, plan, start.status);
    if (*slave < 0) return false;
  }
  if (!MakeReadOnly(root, plan) || !MaskPaths(root, prepared)) return false;
  // The working directory may have to be made, so the root turns read-only only after that.
  if (!plan.process.cwd.empty()) {
    const Fd cwd(EnsureInRoot(root, plan.process.cwd.c_str(), true));
    // A directory that root may not look into may be open to the user. Other errors are told when
    // it is entered.
    const int error = cwd.valid() ? 0 : g_error.error_number;
    if (error != 0 && error != ELOOP && error != EEXIST && error != EACCES && error != EPERM)
      return false;
  }
  index = -1;
  for (const MountView& mount : plan.mounts) {
    if (attached[++index] >= 0 && !FinishAttributes(attached[index], mount)) return false;
  }
  if (plan.rootfs_readonly && !SetAttributes(root, MOUNT_ATTR_RDONLY, 0, -1, false, "the root")) {
    return false;
  }
  return EnterRoot(root, plan);
}

bool LeaveNamespaces(const ContainerView& plan) {
  const int fresh = (plan.private_cgroup_namespace ? CLONE_NEWCGROUP : 0) |
                    (plan.ipc == NamespaceMode::kPrivate ? CLONE_NEWIPC : 0) |
                    (plan.net == NamespaceMode::kPrivate ? CLONE_NEWNET : 0) |
                    (plan.uts == NamespaceMode::kPrivate ? CLONE_NEWUTS : 0);
  if (fresh != 0 && SysUnshare(fresh) != 0) return Fail("create the container's namespaces");
  return true;
}

// The host's namespaces can be entered only with the host's privileges.
bool JoinHostNamespaces(const ContainerView& plan) {
  const struct {
    NamespaceMode mode;
    int fd;
    int type;
    const char* name;
  } all[] = {{plan.net, g_pod.host_net.get(), CLONE_NEWNET, "network"},
             {plan.ipc, g_pod.host_ipc.get(), CLONE_NEWIPC, "IPC"},
             {plan.uts, g_pod.host_uts.get(), CLONE_NEWUTS, "UTS"}};
  for (const auto& one : all) {
    if (one.mode == NamespaceMode::kHost && SysSetns(one.fd, one.type) != 0) {
      return Fail("enter the host's namespace:", one.name);
    }
  }
  return true;
}

// This process stays outside; the one that it gives birth to will be inside.
bool JoinPidNamespace(int fd) {
  return SysSetns(fd, CLONE_NEWPID) == 0 || Fail("enter the PID namespace");
}

[[noreturn]] void RunInside(const StartPlan& start) {
  const ContainerView& plan = start.prepared->view;
  int slave = -1;
  const bool joins = start.join_pid >= 0;
  if (!LeaveNamespaces(plan) || !AssembleRoot(start, &slave) ||
      (joins && !JoinPidNamespace(start.join_pid))) {
    ReportAndExit(start.status);
  }
  const Fd* ends = start.prepared->stdio;
  const int stdio[3] = {slave >= 0 ? slave : ends[0].get(), slave >= 0 ? slave : ends[1].get(),
                        slave >= 0 ? slave : ends[2].get()};
  RunProcess(plan.process, plan.container_id, stdio, start.status,
             {.joins = joins, .gated = start.gated});
}

}  // namespace

uint64_t InitCloneFlags(const ContainerView& plan) {
  return (StartsBlank(plan) ? 0 : CLONE_NEWNS) |
         (plan.pid == NamespaceMode::kPrivate ? CLONE_NEWPID : 0);
}

namespace {

bool EnterUserns() {
  return (SysSetns(g_pod.userns.get(), CLONE_NEWUSER) == 0 &&
          syscall(SYS_setgroups, 0, nullptr) == 0 && syscall(SYS_setresgid, 0, 0, 0) == 0 &&
          syscall(SYS_setresuid, 0, 0, 0) == 0) ||
         Fail("enter the user namespace");
}

}  // namespace

void RunContainerChild(const StartPlan& start) {
  const ContainerView& plan = start.prepared->view;
  const bool joins = start.join_pid >= 0;
  if (g_pod.has_userns()) {
    const Fd* ends = start.prepared->stdio;
    const int stdio[3] = {ends[0].get(), ends[1].get(), ends[2].get()};
    GiveStdio(plan.process, stdio);
  }
  if ((joins && !SetLabels(plan.process)) ||
      !EnterCgroupsAndLimits(plan.process, start.cgroups->tasks(), start.cgroups->task_count()) ||
      !JoinHostNamespaces(plan) || (g_pod.has_userns() && !EnterUserns())) {
    ReportAndExit(start.status);
  }
  // The container's namespaces belong to the user namespace, so somebody inside it makes them.
  const uint64_t flags = g_pod.has_userns() ? InitCloneFlags(plan) : 0;
  if (joins) {
    UseProcOf(start.join_pid);
    if (flags != 0 && SysUnshare(static_cast<int>(flags)) != 0) {
      Fail("create the container's mount namespace");
      ReportAndExit(start.status);
    }
  } else if (g_pod.has_userns()) {
    GiveBirth(flags, start.status);
  }
  RunInside(start);
}

}  // namespace crisp::shim
