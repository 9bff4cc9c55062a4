#include "runtime/shim/container.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "runtime/shim/mounts.h"
#include "runtime/shim/pod.h"

namespace crisp::shim {

Container* g_containers = nullptr;

namespace {

bool StrEquals(const char* a, const Str& b) { return strcmp(a, b.c_str()) == 0; }

// True if the instance must see the container's own namespaces (or its user namespace), and so can
// only be made by the container's first process.
bool MadeByChild(const MountView& mount) {
  if (mount.kind != MountKind::kFs && mount.kind != MountKind::kDev) return false;
  if (g_pod.has_userns()) return true;
  if (mount.kind == MountKind::kDev) return false;
  const char* types[] = {"proc", "sysfs", "mqueue", "cgroup", "cgroup2"};
  for (const char* type : types) {
    if (mount.type == type) return true;
  }
  return false;
}

// A subdirectory of it; takes it.
int TakeSubPath(Fd whole, const MountView& plan) {
  const char* path = plan.sub_path.c_str();
  const Fd sub(OpenInRoot(whole.get(), path, O_PATH));
  if (!sub.valid()) {
    Fail("open the image volume's path", path);
    return -1;
  }
  int clone = SysOpenTree(sub.get(), "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
  if (clone >= 0) return clone;
  // Before Linux 6.15 only of a mount that is attached somewhere.
  const Fd scratch(open(kSlotScratch, O_PATH | O_CLOEXEC));
  if (SysMoveMount(whole.get(), scratch.get()) != 0) {
    Fail("attach the image volume for", plan.destination.c_str());
    return -1;
  }
  clone = SysOpenTree(sub.get(), "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
  if (clone < 0) Fail("clone the image volume's path", path);
  (void)SysUmount(kSlotScratch, MNT_DETACH);
  return clone;
}

int BuildMount(const ContainerView& plan, const MountView& mount, const LayerFds& layers) {
  const char* label = plan.mount_label.c_str();
  switch (mount.kind) {
    case MountKind::kBind:
      return MountBind(mount);
    case MountKind::kFs:
      return MountFs(mount, label);
    case MountKind::kOverlay: {
      Fd whole(MountOverlay(mount.lowers, layers, "", "", label));
      if (!whole.valid() || mount.sub_path.empty()) return whole.Release();
      return TakeSubPath(static_cast<Fd&&>(whole), mount);
    }
    case MountKind::kDev:
      return MountDev(mount, plan.devices, label);
  }
  return -1;
}

bool IsHostBind(const MountView& mount) {
  return mount.kind == MountKind::kBind && !IsPodSource(mount);
}

// -1 with *skip: the source may be missing and is.
int CloneBind(const MountView& mount, bool* skip) {
  const int fd = MountBind(mount);
  *skip = fd < 0 && errno == ENOENT && mount.optional;
  return fd;
}

bool OpenExitDirectory(const Str& path, Container* container) {
  const char* const slash = strrchr(path.c_str(), '/');
  const char* const name = slash == nullptr ? "" : slash + 1;
  container->exit_name = Duplicate(name, strlen(name));
  if (container->exit_name == nullptr) return false;
  if (*name == '\0')
    return path.empty() || Refuse(kInvalidArgument, "no path for an exit record:", path.c_str());
  Path directory;
  directory.Add(path.data, static_cast<size_t>(slash - path.data));
  container->exit_directory.Reset(
      open(directory.size == 0 ? "/" : directory.data, O_PATH | O_DIRECTORY | O_CLOEXEC));
  return container->exit_directory.valid() ||
         Fail("open the directory for the exit record", path.c_str());
}

// All that comes from the host, in one visit to its mount namespace.
bool TakeFromHost(Container* container) {
  Prepared* const prepared = container->prepared;
  const HostScope host;
  if (!host.entered() || !OpenExitDirectory(prepared->view.exit_record, container)) return false;
  int index = -1;
  for (const MountView& mount : prepared->view.mounts) {
    ++index;
    if (!IsHostBind(mount)) continue;
    prepared->mounts[index] = CloneBind(mount, &prepared->skipped[index]);
    if (prepared->mounts[index] < 0 && !prepared->skipped[index]) return false;
  }
  return true;
}

// `count` times -1; nullptr and g_error.
int* NoDescriptors(size_t count) {
  int* const fds = static_cast<int*>(Allocate(count * sizeof(int)));
  for (size_t i = 0; fds != nullptr && i < count; ++i) fds[i] = -1;
  return fds;
}

bool BuildMounts(Container* container, const LayerFds& layers) {
  Prepared* const prepared = container->prepared;
  const ContainerView& plan = prepared->view;
  prepared->mounts = NoDescriptors(plan.mounts.size());
  prepared->skipped = static_cast<bool*>(Allocate(plan.mounts.size() * sizeof(bool)));
  if (prepared->mounts == nullptr || prepared->skipped == nullptr || !TakeFromHost(container))
    return false;
  int index = -1;
  for (const MountView& mount : plan.mounts) {
    ++index;
    if (mount.destination.size < 2 || mount.destination.data[0] != '/') {
      return Refuse(kInvalidArgument, "mount destination", mount.destination.c_str());
    }
    if (MadeByChild(mount) || prepared->skipped[index]) continue;
    int& fd = prepared->mounts[index];
    if (!IsHostBind(mount)) fd = BuildMount(plan, mount, layers);
    if (fd < 0 || !ApplyAttributes(fd, mount)) return false;
  }
  return true;
}

// The host's node, checked to be the device that the plan means.
int BindDevice(const DeviceView& device) {
  const char* path = device.host_path.empty() ? device.path.c_str() : device.host_path.c_str();
  int fd;
  {
    const HostScope host;
    if (!host.entered()) return -1;
    fd = SysOpenTree(AT_FDCWD, path, OPEN_TREE_CLONE);
  }
  struct stat status;
  if (fd < 0 || fstat(fd, &status) != 0) {
    Fail("bind device", path);
    if (fd >= 0) close(fd);
    return -1;
  }
  const mode_t type = device.type == 'b' ? S_IFBLK : (device.type == 'p' ? S_IFIFO : S_IFCHR);
  if ((status.st_mode & S_IFMT) != type ||
      (type != S_IFIFO && status.st_rdev != makedev(device.major, device.minor))) {
    close(fd);
    Refuse(kInvalidArgument, "not the device that was meant:", path);
    return -1;
  }
  return fd;
}

bool BuildDevices(Prepared* prepared) {
  prepared->device_binds = NoDescriptors(prepared->view.devices.size());
  if (prepared->device_binds == nullptr) return false;
  if (!g_pod.has_userns()) return true;
  int index = -1;
  for (const DeviceView& device : prepared->view.devices) {
    prepared->device_binds[++index] = BindDevice(device);
    if (prepared->device_binds[index] < 0) return false;
  }
  return true;
}

bool BuildMask(const char* source, uint64_t more, Fd* mask) {
  mask->Reset(SysOpenTree(AT_FDCWD, source, OPEN_TREE_CLONE));
  if (!mask->valid()) return Fail("clone the pod's masks");
  const uint64_t attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | more;
  return SetAttributes(mask->get(), attributes, MS_PRIVATE, -1, false, "the masks");
}

bool BuildMasks(Prepared* prepared) {
  if (prepared->view.masked_paths.empty()) return true;
  Path directory, file;
  directory.Add(kSlotMasks).Add("/e");
  file.Add(kSlotMasks).Add("/n");
  return BuildMask(directory.data, MOUNT_ATTR_NODEV, &prepared->mask_directory) &&
         BuildMask(file.data, 0, &prepared->mask_file);
}

bool OpenStdio(Container* container) {
  const ContainerView& plan = container->prepared->view;
  Io& io = container->io;
  io.terminal = plan.process.terminal;
  io.stdin_once = plan.stdin_once;
  Output* outputs[] = {&io.out, &io.err};
  if (io.terminal) return true;  // the child makes it
  for (int i = 0; i < 3; ++i) {
    if (i == 0 && !plan.stdin_open) continue;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return Fail("make a pipe");
    container->prepared->stdio[i].Reset(ends[i == 0 ? 0 : 1]);
    if (i == 0) {
      io.in.Adopt(ends[1]);
    } else {
      outputs[i - 1]->Adopt(ends[0]);
    }
  }
  return true;
}

bool Prepare(Container* container, const LayerFds& layers) {
  Prepared* prepared = container->prepared;
  const ContainerView& plan = prepared->view;
  // Opened by the log writer while the mounts are made here.
  Log& log = container->io.log;
  if (!plan.log_path.empty() && !log.BeginOpen(plan.log_path.c_str(), plan.max_log_line))
    return false;
  if (!prepared->root.valid()) {
    prepared->root.Reset(MountOverlay(plan.lower_dirs, layers, plan.upper_dir.c_str(),
                                      plan.work_dir.c_str(), plan.mount_label.c_str()));
  }
  return prepared->root.valid() && BuildMounts(container, layers) && BuildDevices(prepared) &&
         BuildMasks(prepared) && OpenStdio(container) && (plan.log_path.empty() || log.AwaitOpen());
}

}  // namespace

Prepared::~Prepared() {
  for (uint32_t i = 0; mounts != nullptr && i < view.mounts.size(); ++i) {
    if (mounts[i] >= 0) close(mounts[i]);
  }
  for (uint32_t i = 0; device_binds != nullptr && i < view.devices.size(); ++i) {
    if (device_binds[i] >= 0) close(device_binds[i]);
  }
  free(mounts);
  free(skipped);
  free(device_binds);
  free(plan);
}

Container::~Container() {
  EndWaiting(this);
  delete prepared;
  free(id);
  free(exit_name);
}

Container* FindContainer(const Str& id) {
  for (Container* container = g_containers; container != nullptr; container = container->next) {
    if (StrEquals(container->id, id)) return container;
  }
  return nullptr;
}

bool CreateContainer(char* bytes, size_t size, Fd* root, const LayerFds& layers) {
  ContainerView view;
  if (!ReadPlan(bytes, size, PlanKind::kContainer, &view)) return false;
  if (FindContainer(view.container_id) != nullptr) {
    return Refuse(kAlreadyExists, "the shim has container", view.container_id.c_str());
  }
  Owner<Container> made(new Container);
  if (made.get() == nullptr) return false;
  made->id = Duplicate(view.container_id.data, view.container_id.size);
  made->own_pid_ns = view.pid == NamespaceMode::kPrivate;
  made->own_cgroup_ns = view.private_cgroup_namespace;
  made->prepared = new Prepared;
  if (made->id == nullptr || made->prepared == nullptr) return false;
  made->prepared->view = view;
  made->prepared->root.Reset(root->Release());
  if (!Prepare(made.get(), layers)) return false;
  Container* const container = made.Release();
  container->prepared->plan = bytes;
  container->next = g_containers;
  g_containers = container;
  return true;
}

bool RemoveContainer(const Str& id) {
  for (Container** link = &g_containers; *link != nullptr; link = &(*link)->next) {
    Container* container = *link;
    if (!StrEquals(container->id, id)) continue;
    if (container->state == State::kRunning || container->state == State::kStarting) {
      return Refuse(kFailedPrecondition, "still running: container", id.c_str());
    }
    // In a shared PID namespace its execs may live on; they have no container to belong to then.
    // (What an exec that has ended left behind is the container's, and dies with it.)
    for (Exec* exec = g_execs; exec != nullptr; exec = exec->next) {
      if (exec->container != container) continue;
      KillExec(exec);
      exec->container = nullptr;
    }
    *link = container->next;
    delete container;
    return true;
  }
  return true;
}

bool ReopenLog(const Str& id) {
  Container* container = FindContainer(id);
  if (container == nullptr) return Refuse(kNotFound, "no container", id.c_str());
  if (container->state != State::kRunning) {
    return Refuse(kFailedPrecondition, "not running: container", id.c_str());
  }
  if (!container->io.log.configured()) return true;
  return container->io.log.Reopen();
}

bool AttachContainer(const Str& id, int stdio[3]) {
  Container* container = FindContainer(id);
  if (container == nullptr) return Refuse(kNotFound, "no container", id.c_str());
  if (container->state != State::kRunning) {
    return Refuse(kFailedPrecondition, "not running: container", id.c_str());
  }
  return container->io.Attach(stdio[0], stdio[1], stdio[2]);
}

bool ResizeTerminal(const Str& id, const Str& exec_id, uint16_t rows, uint16_t columns) {
  const Io* io = nullptr;
  if (exec_id.empty()) {
    const Container* container = FindContainer(id);
    if (container == nullptr) return Refuse(kNotFound, "no container", id.c_str());
    io = &container->io;
  } else {
    const Exec* exec = FindExec(exec_id);
    if (exec == nullptr) return Refuse(kNotFound, "no exec", exec_id.c_str());
    io = exec->io;
  }
  if (io == nullptr || !io->terminal || io->out.fd() < 0) {
    return Refuse(kFailedPrecondition, "no terminal to resize:", id.c_str());
  }
  winsize size = {.ws_row = rows, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
  return ioctl(io->out.fd(), TIOCSWINSZ, &size) == 0 || Fail("resize the terminal of", id.c_str());
}

}  // namespace crisp::shim
