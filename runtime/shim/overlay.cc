#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "runtime/shim/message.h"
#include "runtime/shim/mounts.h"
#include "runtime/shim/pod.h"
#include "runtime/wire/lower_text.h"

// Three ways to the same mount: `lowerdir+` with paths (Linux 6.8), with descriptors of an
// id-mapped clone of the storage (6.15, user namespaces only), and the option page of mount(2) in a
// mount namespace made for the purpose, for older kernels and for paths that are too long.

namespace crisp::shim {
namespace {

constexpr size_t kFsconfigMax = 255;  // bytes of a string parameter
constexpr unsigned long kMsPrivate = 1 << 18;
constexpr unsigned long kMsPrivateRec = kMsPrivate | (1 << 14);

struct OverlayDirs {
  const List<Str>& lowers;
  const LayerFds& layers;
  const char* upper;
  const char* work;
  const char* label;
};

// An id-mapped upper directory knows no host root, so the overlay's own work there (which is done
// with the credentials of whoever mounts it) must be done as the containers' root; with all
// capabilities.
class MounterIds {
 public:
  MounterIds() {
    if (!g_pod.has_userns()) return;
    prctl(PR_SET_SECUREBITS, kNoSetuidFixup, 0, 0, 0);
    Set(g_pod.root_uid, g_pod.root_gid);
  }
  ~MounterIds() {
    if (!g_pod.has_userns()) return;
    const int error = errno;
    Set(0, 0);
    prctl(PR_SET_SECUREBITS, 0, 0, 0, 0);
    errno = error;
  }

 private:
  static constexpr unsigned long kNoSetuidFixup = 1 << 2;
  static void Set(uint32_t uid, uint32_t gid) {
    syscall(SYS_setfsuid, uid);
    syscall(SYS_setfsgid, gid);
  }
};

// Path below the storage root, or nullptr when it is elsewhere.
const char* BelowStorage(const char* path) {
  const size_t size = strlen(g_pod.storage_root);
  if (strncmp(path, g_pod.storage_root, size) != 0 || path[size] != '/') return nullptr;
  return path + size + 1;
}

bool IsLayerFd(const char* lower) { return runtime::LowerNumber(lower) >= 0; }

// -1: there is no such.
int LayerFd(const char* lower, const LayerFds& layers) {
  const int number = runtime::LowerNumber(lower);
  return number >= 0 && number < layers.count ? layers.fds[number] : -1;
}

// Of a mount that the daemon holds, with the pod's user namespace on it if there is one.
int CloneLayer(int layer, uint64_t attributes) {
  const int fd = SysOpenTree(layer, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
  if (fd < 0) {
    Fail("clone a layer's mount");
    return -1;
  }
  if (!SetAttributes(fd, attributes, kMsPrivate, g_pod.userns.get(), false, "a layer")) {
    close(fd);
    return -1;
  }
  return fd;
}

int CloneStorageIdmapped() {
  int fd;
  {
    const HostScope host;
    if (!host.entered()) return -1;
    fd = SysOpenTree(AT_FDCWD, g_pod.storage_root, OPEN_TREE_CLONE);
  }
  if (fd < 0) {
    Fail("clone the storage", g_pod.storage_root);
    return -1;
  }
  // A clone of a shared mount is its peer: what is mounted below the one appears below the other.
  if (!SetAttributes(fd, 0, kMsPrivate, g_pod.userns.get(), false, g_pod.storage_root)) {
    close(fd);
    return -1;
  }
  return fd;
}

bool SetDir(int fs, const char* key, const char* path) {
  if (!g_pod.has_userns()) {
    if (strlen(path) <= kFsconfigMax)
      return SysFsconfig(fs, FSCONFIG_SET_STRING, key, path, 0) == 0;
    const Fd dir(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
    return dir.valid() && SysFsconfig(fs, FSCONFIG_SET_FD, key, nullptr, dir.get()) == 0;
  }
  const char* below = BelowStorage(path);
  if (below == nullptr) return false;
  const Fd dir(openat(g_pod.idmapped_storage.get(), below, O_PATH | O_DIRECTORY | O_CLOEXEC));
  return dir.valid() && SysFsconfig(fs, FSCONFIG_SET_FD, key, nullptr, dir.get()) == 0;
}

// Mounts that an overlay is made of must last until it is.
struct Held {
  int fds[kMaxMessageFds];
  int count = 0;
  ~Held() {
    const int error = errno;
    while (count > 0) close(fds[--count]);
    errno = error;
  }
};

bool SetLower(int fs, const char* lower, const LayerFds& layers, Held* held) {
  constexpr const char* kKey = "lowerdir+";
  if (!IsLayerFd(lower)) return SetDir(fs, kKey, lower);
  const int layer = LayerFd(lower, layers);
  if (layer < 0) return false;
  if (!g_pod.has_userns()) return SysFsconfig(fs, FSCONFIG_SET_FD, kKey, nullptr, layer) == 0;
  const int mapped = held->count < kMaxMessageFds ? CloneLayer(layer, 0) : -1;
  if (mapped < 0) return false;
  held->fds[held->count++] = mapped;
  return SysFsconfig(fs, FSCONFIG_SET_FD, kKey, nullptr, mapped) == 0;
}

// Before Linux 6.5 overlayfs takes whatever it is given this way and refuses it all when it is to
// be mounted, with a line in the kernel's log. Asked once.
bool TakesOptionsOnly(int fs) {
  static int answer = -1;
  if (answer < 0) answer = SysFsconfig(fs, FSCONFIG_SET_FLAG, "no-such-option", nullptr, 0) == 0;
  return answer == 1;
}

// The kernel knows the way and has failed on it: another one would not end better, and not say why.
constexpr int kNoOtherWay = -2;

int GiveUp(const OverlayDirs& dirs) {
  Fail("mount an overlay", dirs.upper);
  return kNoOtherWay;
}

// -1 without g_error: the kernel does not know this way, or it failed and the other way will say
// why. kNoOtherWay with g_error.
int TryFsopen(const OverlayDirs& dirs) {
  if (g_pod.has_userns() && !g_pod.idmapped_storage.valid()) {
    g_pod.idmapped_storage.Reset(CloneStorageIdmapped());
    if (!g_pod.idmapped_storage.valid()) return -1;
  }
  const HostScope host;
  if (!host.entered()) return -1;
  const MounterIds ids;
  Held held;
  const Fd fs(SysFsopen("overlay"));
  if (!fs.valid() && IsShortage(errno)) return GiveUp(dirs);
  if (!fs.valid() || TakesOptionsOnly(fs.get())) return -1;
  (void)SysFsconfig(fs.get(), FSCONFIG_SET_STRING, "source", "overlay", 0);
  for (const Str& lower : dirs.lowers) {
    if (!SetLower(fs.get(), lower.c_str(), dirs.layers, &held)) return -1;
  }
  if (dirs.upper[0] != '\0' &&
      (!SetDir(fs.get(), "upperdir", dirs.upper) || !SetDir(fs.get(), "workdir", dirs.work) ||
       SysFsconfig(fs.get(), FSCONFIG_SET_FLAG, "volatile", nullptr, 0) != 0)) {
    return -1;
  }
  if (dirs.label[0] != '\0' &&
      SysFsconfig(fs.get(), FSCONFIG_SET_STRING, "context", dirs.label, 0) != 0) {
    return -1;
  }
  if (SysFsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return IsShortage(errno) ? GiveUp(dirs) : -1;
  }
  // From now on a writable layer is used, which no second overlay takes.
  const int mount = SysFsmount(fs.get(), 0);
  return mount >= 0 ? mount : GiveUp(dirs);
}

// The longest directory that all layers are in: options relative to it let some hundred layers fit
// on one page.
void CommonParent(const OverlayDirs& dirs, Path* parent) {
  bool first = true;
  auto narrow = [&](const char* path) {
    if (first) {
      parent->Add(path);
      first = false;
    }
    size_t same = 0, slash = 0;
    while (path[same] != '\0' && path[same] == parent->data[same]) {
      if (path[same] == '/') slash = same;
      ++same;
    }
    if (parent->data[same] == '\0' && path[same] == '/') slash = same;
    parent->size = slash;
    parent->data[slash] = '\0';
  };
  for (const Str& lower : dirs.lowers) narrow(lower.c_str());
  if (dirs.upper[0] != '\0') {
    narrow(dirs.upper);
    narrow(dirs.work);
  }
}

bool SafeForOptions(const char* path) { return strpbrk(path, ",:\\\"") == nullptr; }

bool BuildOptions(const OverlayDirs& dirs, const Path& parent, Text<4096>* options) {
  auto add = [&](const char* path) {
    if (!SafeForOptions(path)) return Refuse(kInvalidArgument, "separator in the layer path", path);
    options->Add(path + parent.size + 1);
    return true;
  };
  options->Add("lowerdir=");
  bool first = true;
  for (const Str& lower : dirs.lowers) {
    if (!first) options->Add(":");
    first = false;
    if (!add(lower.c_str())) return false;
  }
  if (dirs.upper[0] != '\0') {
    options->Add(",upperdir=");
    if (!add(dirs.upper)) return false;
    options->Add(",workdir=");
    if (!add(dirs.work)) return false;
    options->Add(",volatile");
  }
  if (dirs.label[0] != '\0') options->Add(",context=\"").Add(dirs.label).Add("\"");
  return !options->overflow || Refuse(kInvalidArgument, "too many layers for this kernel");
}

// Runs in a child of its own, in a private copy of the host's mounts.
int MountByOptions(const OverlayDirs& dirs, int idmapped_storage) {
  Path parent;
  Text<4096> options;
  CommonParent(dirs, &parent);
  if (!BuildOptions(dirs, parent, &options)) return -1;
  if (SysSetns(g_pod.host_mnt.get(), CLONE_NEWNS) != 0 || SysUnshare(CLONE_NEWNS) != 0 ||
      SysMount(nullptr, "/", nullptr, kMsPrivateRec, nullptr) != 0) {
    Fail("make a mount namespace for the overlay");
    return -1;
  }
  if (idmapped_storage >= 0) {
    const Fd target(open(g_pod.storage_root, O_PATH | O_CLOEXEC));
    if (SysMoveMount(idmapped_storage, target.get()) != 0) {
      Fail("attach the id-mapped storage", g_pod.storage_root);
      return -1;
    }
  }
  const MounterIds ids;
  const Str bottom = *dirs.lowers.begin();
  if (chdir(parent.size == 0 ? "/" : parent.data) != 0 ||
      SysMount("overlay", bottom.c_str(), "overlay", 0, options.data) != 0) {
    Fail("mount overlay", options.data);
    return -1;
  }
  const int fd = SysOpenTree(AT_FDCWD, bottom.c_str(), OPEN_TREE_CLONE);
  if (fd < 0) Fail("clone the overlay on", bottom.c_str());
  return fd;
}

int MountInScratch(const OverlayDirs& dirs) {
  Fd idmapped;
  if (g_pod.has_userns()) {
    idmapped.Reset(CloneStorageIdmapped());
    if (!idmapped.valid()) return -1;
  }
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    Fail("make a socket pair");
    return -1;
  }
  const Fd ours(ends[0]);
  Fd theirs(ends[1]);
  const pid_t child = CloneSelf(0, nullptr, -1);
  if (child == 0) {
    const int fd = MountByOptions(dirs, idmapped.get());
    (void)SendFd(theirs.get(), &g_error, sizeof(g_error), fd);
    _exit(0);
  }
  if (child < 0) {
    Fail("start a child to mount the overlay");
    return -1;
  }
  theirs.Reset();
  int fd = -1;
  Error error;
  const ssize_t n = ReceiveFd(ours.get(), &error, sizeof(error), &fd);
  (void)WaitFor(child);
  if (n != sizeof(error)) {
    Refuse(kInternal, "mount overlay: the child died");
    return -1;
  }
  if (fd < 0) g_error = error;
  return fd;
}

// A read-only view of one layer needs no overlay (which wants two).
int CloneSingleLayer(const char* lower, const LayerFds& layers) {
  int fd = -1;
  if (IsLayerFd(lower)) {
    const HostScope host;
    return host.entered() ? CloneLayer(LayerFd(lower, layers), MOUNT_ATTR_RDONLY) : -1;
  }
  if (g_pod.has_userns()) {
    if (BelowStorage(lower) == nullptr) {
      Refuse(kInvalidArgument, "layer outside the storage root:", lower);
      return -1;
    }
  }
  {
    const HostScope host;
    if (!host.entered()) return -1;
    fd = SysOpenTree(AT_FDCWD, lower, OPEN_TREE_CLONE);
  }
  if (fd < 0) {
    Fail("clone the layer", lower);
    return -1;
  }
  if (!SetAttributes(fd, MOUNT_ATTR_RDONLY, kMsPrivate, g_pod.userns.get(), false, lower)) {
    close(fd);
    return -1;
  }
  return fd;
}

}  // namespace

int MountOverlay(const List<Str>& lowers,
                 const LayerFds& layers,
                 const char* upper,
                 const char* work,
                 const char* label) {
  if (lowers.empty()) {
    Refuse(kInvalidArgument, "mount overlay: no layers");
    return -1;
  }
  bool descriptors = false;
  for (const Str& lower : lowers) {
    if (IsLayerFd(lower.c_str())) {
      descriptors = true;
    } else if (g_pod.has_userns() && BelowStorage(lower.c_str()) == nullptr) {
      Refuse(kInvalidArgument, "layer outside the storage root:", lower.c_str());
      return -1;
    }
  }
  if (upper[0] == '\0' && lowers.size() == 1) {
    return CloneSingleLayer((*lowers.begin()).c_str(), layers);
  }
  const OverlayDirs dirs = {lowers, layers, upper, work, label};
  int fd = TryFsopen(dirs);
  if (fd == kNoOtherWay) return -1;
  if (fd < 0 && descriptors) {
    Fail("mount an overlay of layers that are mounts");  // which no older way takes
    return -1;
  }
  if (fd < 0) fd = MountInScratch(dirs);
  if (fd >= 0 && !SetAttributes(fd, 0, kMsPrivate, -1, false, "the root")) {
    close(fd);
    return -1;
  }
  return fd;
}

}  // namespace crisp::shim
