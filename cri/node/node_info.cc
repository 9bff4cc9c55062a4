#include "cri/node/node_info.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>

#include "absl/strings/numbers.h"
#include "base/file.h"

namespace crisp::cri {
namespace {

// mount_setattr refuses a bad descriptor with EBADF where it exists, ENOSYS where it does not.
bool HasMountSetattr() {
  struct mount_attr attributes {};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  const long result = syscall(SYS_mount_setattr, -1, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                              sizeof(attributes));
  return result == 0 || errno != ENOSYS;
}

bool UserNamespacesAllowed() {
  const auto text = ReadFile("/proc/sys/user/max_user_namespaces");
  int64_t limit = 0;
  return text.ok() && absl::SimpleAtoi(*text, &limit) && limit > 0;
}

}  // namespace

bool KernelAtLeast(const std::string& release, int major, int minor) {
  int have_major = 0, have_minor = 0;
  if (sscanf(release.c_str(), "%d.%d", &have_major, &have_minor) != 2) return false;
  return have_major > major || (have_major == major && have_minor >= minor);
}

// Overlayfs takes id-mapped layers from Linux 5.19 on; secrets and tokens are volumes on tmpfs.
std::string WhyNoUserNamespaces(const std::string& release, bool allowed) {
  if (!KernelAtLeast(release, 6, 3)) {
    return "its kernel, Linux " + release + ", has no id-mapped tmpfs, which came with 6.3";
  }
  return allowed ? "" : "user.max_user_namespaces is 0; sysctl -w user.max_user_namespaces=15000";
}

KernelFeatures ProbeKernel() {
  KernelFeatures features;
  struct utsname names {};
  if (uname(&names) == 0) features.release = names.release;
  features.recursive_read_only = HasMountSetattr();
  features.no_user_namespaces = WhyNoUserNamespaces(features.release, UserNamespacesAllowed());
  features.user_namespaces = features.no_user_namespaces.empty();
  return features;
}

}  // namespace crisp::cri
