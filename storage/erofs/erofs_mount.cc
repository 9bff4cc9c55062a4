#include "storage/erofs/erofs_mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/file.h"
#include "base/status.h"
#include "storage/erofs/erofs_sink.h"

namespace crisp::storage {
namespace {

absl::Status SetString(int fs, const char* key, const std::string& value) {
  if (fsconfig(fs, FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0) return absl::OkStatus();
  return ErrnoError(errno, absl::StrCat("set ", key));
}

absl::StatusOr<UniqueFd> CreateMount(int fs, unsigned attributes) {
  if (fsconfig(fs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return ErrnoError(errno, "create");
  UniqueFd mount(fsmount(fs, FSMOUNT_CLOEXEC, attributes));
  if (!mount) return ErrnoError(errno, "fsmount");
  return mount;
}

// A layer of one file, mounted.
absl::StatusOr<UniqueFd> MountSample(const std::string& path,
                                     const std::string& name,
                                     uint8_t number) {
  CRISP_ASSIGN_OR_RETURN(const UniqueFd file, Open(path, O_RDWR | O_CREAT | O_TRUNC, 0600));
  const auto remove = absl::MakeCleanup([&] { (void)unlink(path.c_str()); });
  ErofsSink sink(file.get(), {.uuid = {number}});
  const LayerEntry entry{.path = name, .mode = 0644, .size = name.size()};
  CRISP_RETURN_IF_ERROR(sink.Add(entry).status());
  CRISP_RETURN_IF_ERROR(sink.Write(name, 0, entry));
  CRISP_RETURN_IF_ERROR(sink.FinishFile(entry));
  CRISP_RETURN_IF_ERROR(sink.Finish().status());
  return MountErofs(file.get());
}

}  // namespace

absl::StatusOr<UniqueFd> MountErofs(int file) {
  const UniqueFd fs(fsopen("erofs", FSOPEN_CLOEXEC));
  if (!fs) return ErrnoError(errno, "EROFS");
  CRISP_RETURN_IF_ERROR(
      Annotate(SetString(fs.get(), "source", absl::StrCat("/proc/self/fd/", file)), "EROFS"));
  absl::StatusOr<UniqueFd> mount = CreateMount(fs.get(), MOUNT_ATTR_RDONLY);
  if (!mount.ok()) return Annotate(mount.status(), "mount an EROFS image from its file");
  return mount;
}

absl::Status ProbeErofs(const std::string& directory) {
  CRISP_ASSIGN_OR_RETURN(const UniqueFd upper, MountSample(directory + "/probe", "upper", 1));
  CRISP_ASSIGN_OR_RETURN(const UniqueFd lower, MountSample(directory + "/probe", "lower", 2));
  const UniqueFd clone(
      open_tree(lower.get(), "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!clone) return ErrnoError(errno, "clone a detached mount");
  const UniqueFd fs(fsopen("overlay", FSOPEN_CLOEXEC));
  if (!fs) return ErrnoError(errno, "overlay");
  for (const int layer : {upper.get(), clone.get()}) {
    if (fsconfig(fs.get(), FSCONFIG_SET_FD, "lowerdir+", nullptr, layer) != 0) {
      return ErrnoError(errno, "give overlay a layer by its descriptor");
    }
  }
  CRISP_ASSIGN_OR_RETURN(const UniqueFd overlay, CreateMount(fs.get(), 0));
  CRISP_ASSIGN_OR_RETURN(const std::string content, ReadFileAt(overlay.get(), "lower"));
  return content == "lower" ? absl::OkStatus()
                            : absl::DataLossError("EROFS: read back other bytes");
}

}  // namespace crisp::storage
