#include "runtime/shim/mounts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "runtime/shim/inner_proc.h"
#include "runtime/shim/pod.h"
#include "runtime/shim/userns.h"

namespace crisp::shim {
namespace {

constexpr char kPodSource[] = "pod:";
constexpr uint64_t kMsPrivate = 1 << 18, kMsSlave = 1 << 19, kMsShared = 1 << 20;

uint64_t PropagationFlag(Propagation propagation) {
  switch (propagation) {
    case Propagation::kPrivate:
      return kMsPrivate;
    case Propagation::kSlave:
      return kMsSlave;
    case Propagation::kShared:
      return kMsShared;
  }
  return kMsPrivate;
}

bool FreshFileSystem(const MountView& mount) {
  return mount.kind == MountKind::kFs || mount.kind == MountKind::kDev;
}

bool Configure(int fs, const Str& option) {
  const char* equals = static_cast<const char*>(memchr(option.data, '=', option.size));
  if (equals == nullptr) {
    return SysFsconfig(fs, FSCONFIG_SET_FLAG, option.c_str(), nullptr, 0) == 0 ||
           Fail("set mount option", option.c_str());
  }
  Text<256> key;
  key.Add(option.data, static_cast<size_t>(equals - option.data));
  return SysFsconfig(fs, FSCONFIG_SET_STRING, key.data, equals + 1, 0) == 0 ||
         Fail("set mount option", option.c_str());
}

bool TakesLabel(const char* type) {
  return strcmp(type, "tmpfs") == 0 || strcmp(type, "devpts") == 0;
}

}  // namespace

bool SetAttributes(
    int fd, uint64_t set, uint64_t propagation, int userns, bool recursive, const char* name) {
  mount_attr attr = {.attr_set = set, .attr_clr = 0, .propagation = propagation, .userns_fd = 0};
  if ((set & MOUNT_ATTR__ATIME) != 0) attr.attr_clr |= MOUNT_ATTR__ATIME;
  if (userns >= 0) {
    attr.attr_set |= MOUNT_ATTR_IDMAP;
    attr.userns_fd = static_cast<uint64_t>(userns);
  }
  if (attr.attr_set == 0 && propagation == 0) return true;
  return SysMountSetattr(fd, recursive ? AT_RECURSIVE : 0, &attr) == 0 ||
         Fail("set the attributes of the mount on", name);
}

// "name target", as plans have them for a fresh file system.
bool MakeLinks(int mount, const MountView& plan) {
  for (const Str& link : plan.lowers) {
    const char* blank = static_cast<const char*>(memchr(link.data, ' ', link.size));
    Text<256> name;
    if (blank != nullptr) name.Add(link.data, static_cast<size_t>(blank - link.data));
    if (name.size == 0 || name.overflow || symlinkat(blank + 1, mount, name.data) != 0) {
      return Fail("make the link", link.c_str());
    }
  }
  return true;
}

int MountFs(const MountView& mount, const char* label) {
  const char* type = mount.kind == MountKind::kDev ? "tmpfs" : mount.type.c_str();
  const bool proc = strcmp(type, "proc") == 0;
  const Fd fs(proc ? OpenProc() : SysFsopen(type));
  if (!fs.valid()) {
    if (!proc) Fail("open file system", type);
    return -1;
  }
  const char* source = mount.source.empty() ? type : mount.source.c_str();
  (void)SysFsconfig(fs.get(), FSCONFIG_SET_STRING, "source", source, 0);
  for (const Str& option : mount.options) {
    if (!Configure(fs.get(), option)) return -1;
  }
  if (label[0] != '\0' && TakesLabel(type) &&
      SysFsconfig(fs.get(), FSCONFIG_SET_STRING, "context", label, 0) != 0) {
    Fail("set the label of", mount.destination.c_str());
    return -1;
  }
  if (SysFsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    Fail("create the file system for", mount.destination.c_str());
    return -1;
  }
  Fd made(SysFsmount(fs.get(), 0));
  if (!made.valid()) {
    Fail("mount the file system for", mount.destination.c_str());
    return -1;
  }
  return (!proc || IsProc(made.get())) && MakeLinks(made.get(), mount) ? made.Release() : -1;
}

int MountAhead(const char* type) {
  const Fd fs(SysFsopen(type));
  if (!fs.valid() || SysFsconfig(fs.get(), FSCONFIG_SET_STRING, "source", type, 0) != 0 ||
      SysFsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return -1;
  }
  return SysFsmount(fs.get(), 0);
}

bool IsPodSource(const MountView& mount) {
  return mount.kind == MountKind::kBind &&
         strncmp(mount.source.c_str(), kPodSource, strlen(kPodSource)) == 0;
}

int MountBind(const MountView& mount) {
  const unsigned flags =
      OPEN_TREE_CLONE | (mount.recursive ? static_cast<unsigned>(AT_RECURSIVE) : 0u);
  int fd;
  if (IsPodSource(mount)) {
    const char* name = mount.source.c_str() + strlen(kPodSource);
    const bool shm = strcmp(name, "shm") == 0;
    Path path;
    path.Add(shm ? kSlotShm : kSlotFiles).Add("/").Add(shm ? "" : name);
    if (path.overflow || name[0] == '\0' || strchr(name, '/') != nullptr) {
      Refuse(kInvalidArgument, "the pod has no", mount.source.c_str());
      return -1;
    }
    fd = SysOpenTree(AT_FDCWD, path.data, flags);
  } else {
    const HostScope host;
    if (!host.entered()) return -1;
    fd = SysOpenTree(AT_FDCWD, mount.source.c_str(), flags);
  }
  if (fd < 0) {
    const int error = errno;
    Fail("bind", mount.source.c_str());
    errno = error;
  }
  return fd;
}

const char* BelowDev(const MountView& dev, const DeviceView& device) {
  const Str& base = dev.destination;
  if (device.path.size <= base.size + 1 || memcmp(device.path.data, base.data, base.size) != 0 ||
      device.path.data[base.size] != '/') {
    return nullptr;
  }
  return device.path.data + base.size + 1;
}

bool MakeDeviceNode(int dirfd, const char* name, const DeviceView& device) {
  const mode_t type = device.type == 'b' ? S_IFBLK : (device.type == 'p' ? S_IFIFO : S_IFCHR);
  const dev_t number = device.type == 'p' ? 0 : makedev(device.major, device.minor);
  if (mknodat(dirfd, name, type | (device.mode & 07777), number) != 0 ||
      fchmodat(dirfd, name, device.mode & 07777, 0) != 0 ||
      fchownat(dirfd, name, device.uid, device.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return Fail("make device", device.path.c_str());
  }
  return true;
}

int MountDev(const MountView& mount, const List<DeviceView>& devices, const char* label) {
  Fd dev(MountFs(mount, label));
  if (!dev.valid()) return -1;
  const struct {
    const char* name;
    const char* target;
  } links[] = {{"fd", "/proc/self/fd"},       {"stdin", "/proc/self/fd/0"},
               {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
               {"core", "/proc/kcore"},       {"ptmx", "pts/ptmx"}};
  for (const auto& link : links) {
    if (symlinkat(link.target, dev.get(), link.name) != 0) {
      Fail("link", link.name);
      return -1;
    }
  }
  if (g_pod.has_userns()) return dev.Release();
  for (const DeviceView& device : devices) {
    const char* name = BelowDev(mount, device);
    if (name == nullptr) continue;
    // Directories on the way, e.g. of /dev/net/tun. Nobody else sees this tmpfs yet.
    for (const char* slash = strchr(name, '/'); slash != nullptr; slash = strchr(slash + 1, '/')) {
      Path parent;
      parent.Add(name, static_cast<size_t>(slash - name));
      if (mkdirat(dev.get(), parent.data, 0755) != 0 && errno != EEXIST) {
        Fail("make the directory of", device.path.c_str());
        return -1;
      }
    }
    // A device that the plan names twice, or one called like a customary link: the last one counts.
    (void)unlinkat(dev.get(), name, 0);
    if (!MakeDeviceNode(dev.get(), name, device)) return -1;
  }
  return dev.Release();
}

bool ApplyAttributes(int fd, const MountView& mount) {
  uint64_t attributes = mount.attributes;
  if (FreshFileSystem(mount)) attributes &= ~uint64_t{MOUNT_ATTR_RDONLY};
  const char* name = mount.destination.c_str();
  if (mount.idmap) {
    Fd own;
    int userns = g_pod.userns.get();
    if (!mount.uid_maps.empty()) {
      own.Reset(MakeUserns(mount.uid_maps, mount.gid_maps));
      if (!own.valid()) return false;
      userns = own.get();
    }
    if (userns < 0) return Refuse(kInvalidArgument, "map the ids of a pod without maps on", name);
    if (!SetAttributes(fd, 0, 0, userns, mount.recursive, name)) return false;
  }
  return SetAttributes(fd, attributes, 0, -1, mount.recursive_attributes, name) &&
         SetAttributes(fd, 0, PropagationFlag(mount.propagation), -1, true, name);
}

bool FinishAttributes(int fd, const MountView& mount) {
  if (!FreshFileSystem(mount) || (mount.attributes & MOUNT_ATTR_RDONLY) == 0) return true;
  return SetAttributes(fd, MOUNT_ATTR_RDONLY, 0, -1, false, mount.destination.c_str());
}

}  // namespace crisp::shim
