#include "cri/mount_points.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace crisp::cri {
namespace {

constexpr const char* kDirectories[] = {"", "/dev", "/etc", "/proc", "/sys"};
constexpr const char* kFiles[] = {"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"};

}  // namespace

absl::StatusOr<std::string> MakeMountPoints(const std::string& root) {
  const std::string layer = absl::StrCat(root, "/mount-points");
  for (const char* directory : kDirectories) {
    const std::string path = absl::StrCat(layer, directory);
    CRISP_RETURN_IF_ERROR(MakeDirs(path, 0755));
    // Whatever the umask: the layer's "/" may be a container's.
    if (chmod(path.c_str(), 0755) != 0) return ErrnoError(errno, absl::StrCat("chmod ", path));
  }
  for (const char* file : kFiles) {
    const std::string path = absl::StrCat(layer, file);
    CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, Open(path, O_WRONLY | O_CREAT | O_NOFOLLOW, 0644));
    if (fchmod(fd.get(), 0644) != 0) return ErrnoError(errno, absl::StrCat("chmod ", path));
  }
  return layer;
}

}  // namespace crisp::cri
