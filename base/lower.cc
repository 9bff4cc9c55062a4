#include "base/lower.h"

#include <fcntl.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"

namespace crisp {

absl::StatusOr<UniqueFd> OpenLower(const Lower& lower, int flags) {
  if (!lower.is_mount()) return Open(lower.path, flags | O_DIRECTORY);
  UniqueFd root(openat(lower.mount_fd, ".", flags | O_DIRECTORY | O_CLOEXEC));
  if (!root) return ErrnoError(errno, absl::StrCat("open the mounted layer ", lower.mount_fd));
  return root;
}

std::string PathOf(const Lower& lower) {
  return lower.is_mount() ? absl::StrCat("/proc/self/fd/", lower.mount_fd) : lower.path;
}

}  // namespace crisp
