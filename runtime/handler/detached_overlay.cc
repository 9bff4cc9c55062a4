#include "runtime/handler/detached_overlay.h"

#include <sys/mount.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp::runtime {
namespace {

constexpr size_t kFsconfigMax = 255;  // bytes of a string parameter
constexpr char kLowerKey[] = "lowerdir+";

absl::Status SetDir(int fs, const char* key, const std::string& path) {
  if (path.size() > kFsconfigMax) {
    return absl::InvalidArgumentError(absl::StrCat("overlay: path too long: ", path));
  }
  if (fsconfig(fs, FSCONFIG_SET_STRING, key, path.c_str(), 0) == 0) return absl::OkStatus();
  if (errno == EINVAL && absl::string_view(key) == kLowerKey) {
    return absl::UnimplementedError("overlay: the kernel does not know lowerdir+");
  }
  return ErrnoError(errno, absl::StrCat("overlay: ", key, " ", path));
}

// By descriptor since Linux 6.13, which a kernel that mounts layers has
// (storage/erofs/erofs_mount.h).
absl::Status SetLower(int fs, const Lower& lower) {
  if (!lower.is_mount()) return SetDir(fs, kLowerKey, lower.path);
  if (fsconfig(fs, FSCONFIG_SET_FD, kLowerKey, nullptr, lower.mount_fd) == 0)
    return absl::OkStatus();
  return ErrnoError(errno, absl::StrCat("overlay: ", kLowerKey, " ", PathOf(lower)));
}

// Before Linux 6.5 overlayfs has mount(2)'s interface behind the new one, which takes whatever it
// is given and refuses it all at the end, with a line in the kernel's log. Asked once.
bool HasOptionsOnly() {
  static const bool answer = [] {
    const UniqueFd fs(fsopen("overlay", FSOPEN_CLOEXEC));
    return fs.valid() && fsconfig(fs.get(), FSCONFIG_SET_FLAG, "no-such-option", nullptr, 0) == 0;
  }();
  return answer;
}

}  // namespace

absl::StatusOr<UniqueFd> MountDetachedOverlay(const std::vector<Lower>& lower_dirs,
                                              const std::string& upper_dir,
                                              const std::string& work_dir) {
  if (HasOptionsOnly()) return absl::UnimplementedError("overlay: the kernel takes options only");
  const UniqueFd fs(fsopen("overlay", FSOPEN_CLOEXEC));
  if (!fs.valid()) return ErrnoError(errno, "fsopen overlay");
  (void)fsconfig(fs.get(), FSCONFIG_SET_STRING, "source", "overlay", 0);
  for (const Lower& lower : lower_dirs) CRISP_RETURN_IF_ERROR(SetLower(fs.get(), lower));
  CRISP_RETURN_IF_ERROR(SetDir(fs.get(), "upperdir", upper_dir));
  CRISP_RETURN_IF_ERROR(SetDir(fs.get(), "workdir", work_dir));
  if (fsconfig(fs.get(), FSCONFIG_SET_FLAG, "volatile", nullptr, 0) != 0 ||
      fsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return ErrnoError(errno, absl::StrCat("mount an overlay with ", upper_dir));
  }
  UniqueFd mount(fsmount(fs.get(), FSMOUNT_CLOEXEC, 0));
  if (!mount.valid()) return ErrnoError(errno, absl::StrCat("fsmount of ", upper_dir));
  return mount;
}

}  // namespace crisp::runtime
