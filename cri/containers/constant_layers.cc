#include "cri/containers/constant_layers.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace crisp::cri {
namespace {

constexpr const char* kDirectories[] = {"", "/dev", "/etc", "/proc", "/sys"};
constexpr const char* kFiles[] = {"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"};

absl::Status MakeDirectory(const std::string& path) {
  CRISP_RETURN_IF_ERROR(MakeDirs(path, 0755));
  // Whatever the umask: the layer's "/" may be a container's.
  return chmod(path.c_str(), 0755) == 0 ? absl::OkStatus()
                                        : ErrnoError(errno, absl::StrCat("chmod ", path));
}

absl::Status MakeFile(const std::string& path) {
  CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, Open(path, O_WRONLY | O_CREAT | O_NOFOLLOW, 0644));
  return fchmod(fd.get(), 0644) == 0 ? absl::OkStatus()
                                     : ErrnoError(errno, absl::StrCat("chmod ", path));
}

absl::Status MakeMountPoints(const std::string& layer) {
  for (const char* directory : kDirectories)
    CRISP_RETURN_IF_ERROR(MakeDirectory(absl::StrCat(layer, directory)));
  for (const char* file : kFiles) CRISP_RETURN_IF_ERROR(MakeFile(absl::StrCat(layer, file)));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ConstantLayers> MakeConstantLayers(const std::string& root) {
  ConstantLayers layers{.mount_points = absl::StrCat(root, "/mount-points"),
                        .empty = absl::StrCat(root, "/empty")};
  CRISP_RETURN_IF_ERROR(MakeDirs(layers.empty, 0755));
  if (const absl::Status made = MakeMountPoints(layers.mount_points); !made.ok()) {
    LogWarning("containers make their mount points themselves", {{"error", made.ToString()}});
    layers.mount_points.clear();
  }
  return layers;
}

}  // namespace crisp::cri
