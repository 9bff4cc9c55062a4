#include "storage/erofs_mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/file.h"
#include "base/status.h"
#include "storage/digest.h"
#include "storage/erofs_applier.h"
#include "storage/erofs_format.h"

namespace crisp::storage {
namespace {

constexpr size_t kPiece = 1 << 20;
constexpr uint64_t kPage = 4096;

absl::Status NoImage(absl::string_view why) {
  return absl::DataLossError(absl::StrCat("layer image: ", why));
}

absl::Status ReadExactly(int fd, uint64_t offset, char* to, size_t size) {
  while (size > 0) {
    const ssize_t n = pread(fd, to, size, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "read the layer's image");
    if (n == 0) return NoImage("cut off");
    to += n;
    offset += static_cast<uint64_t>(n);
    size -= static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

absl::StatusOr<ErofsSuper> ReadSuper(int image, uint64_t size) {
  ErofsSuper super;
  CRISP_RETURN_IF_ERROR(
      ReadExactly(image, kErofsSuperOffset, reinterpret_cast<char*>(&super), sizeof(super)));
  if (super.magic != kErofsMagic) return NoImage("no super block");
  if (super.feature_incompat != 0 || super.feature_compat != kErofsCompatMtime ||
      super.extra_slots != 0 || super.compression != 0 || super.extra_devices != 0 ||
      super.dir_block_bits != 0 || super.xattr_prefixes != 0 || super.xattr_block != 0 ||
      super.packed_nid != 0) {
    return NoImage("has features that layers do not");
  }
  if (super.block_bits < 9 || super.block_bits > 12) return NoImage("bad block size");
  if (uint64_t{super.blocks} << super.block_bits != size) return NoImage("bad size");
  const uint64_t meta = uint64_t{super.meta_block} << super.block_bits;
  if (meta < kPage || meta >= size) return NoImage("bad metadata");
  if (super.inodes == 0 || super.inodes > (size - meta) / sizeof(ErofsInode)) {
    return NoImage("bad number of inodes");
  }
  if (super.root_nid * kErofsSlot != sizeof(ErofsInode)) return NoImage("bad root");
  return super;
}

absl::Status SetString(int fs, const char* key, const std::string& value) {
  if (fsconfig(fs, FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0) return absl::OkStatus();
  return ErrnoError(errno, absl::StrCat("set ", key));
}

absl::StatusOr<UniqueFd> CreateMount(int fs, unsigned attributes) {
  if (fsconfig(fs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return ErrnoError(errno, "create");
  UniqueFd mount(fsmount(fs, FSMOUNT_CLOEXEC, attributes));
  if (!mount) return ErrnoError(errno, "fsmount");
  return mount;
}

// An image with one file, mounted.
absl::StatusOr<UniqueFd> MountSample(const std::string& path, const std::string& name, uint8_t number) {
  CRISP_ASSIGN_OR_RETURN(const UniqueFd image, Open(path, O_RDWR | O_CREAT | O_TRUNC, 0600));
  const auto remove = absl::MakeCleanup([&] { (void)unlink(path.c_str()); });
  ErofsApplier applier(image.get(), {.uuid = {number}});
  const LayerEntry file{.path = name, .mode = 0644, .size = name.size()};
  CRISP_RETURN_IF_ERROR(applier.Add(file).status());
  CRISP_RETURN_IF_ERROR(applier.Write(name, 0, file));
  CRISP_RETURN_IF_ERROR(applier.FinishFile(file));
  CRISP_RETURN_IF_ERROR(applier.Finish().status());
  return MountErofs(image.get());
}

}  // namespace

absl::StatusOr<ErofsSummary> SummarizeErofs(int image) {
  struct stat st {};
  if (fstat(image, &st) != 0) return ErrnoError(errno, "stat the layer's image");
  const uint64_t size = static_cast<uint64_t>(st.st_size);
  CRISP_ASSIGN_OR_RETURN(const ErofsSuper super, ReadSuper(image, size));
  const uint64_t meta = uint64_t{super.meta_block} << super.block_bits;
  Hasher hasher;
  hasher.Update({reinterpret_cast<const char*>(&super), sizeof(super)});
  std::vector<char> buffer(kPiece);
  for (uint64_t at = meta; at < size;) {
    const absl::string_view piece(buffer.data(), std::min<uint64_t>(kPiece, size - at));
    CRISP_RETURN_IF_ERROR(ReadExactly(image, at, buffer.data(), piece.size()));
    hasher.Update(piece);
    at += piece.size();
  }
  return ErofsSummary{.size = size, .metadata_digest = hasher.Finish()};
}

absl::StatusOr<UniqueFd> MountErofs(int image) {
  const UniqueFd fs(fsopen("erofs", FSOPEN_CLOEXEC));
  if (!fs) return ErrnoError(errno, "EROFS");
  CRISP_RETURN_IF_ERROR(
      Annotate(SetString(fs.get(), "source", absl::StrCat("/proc/self/fd/", image)), "EROFS"));
  absl::StatusOr<UniqueFd> mount = CreateMount(fs.get(), MOUNT_ATTR_RDONLY);
  if (!mount.ok()) return Annotate(mount.status(), "mount an EROFS image from its file");
  return mount;
}

absl::Status ProbeErofs(const std::string& directory) {
  CRISP_ASSIGN_OR_RETURN(const UniqueFd upper, MountSample(directory + "/probe", "upper", 1));
  CRISP_ASSIGN_OR_RETURN(const UniqueFd lower, MountSample(directory + "/probe", "lower", 2));
  const UniqueFd clone(open_tree(lower.get(), "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
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
  return content == "lower" ? absl::OkStatus() : absl::DataLossError("EROFS: read back other bytes");
}

}  // namespace crisp::storage
