#include "storage/erofs/erofs_check.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "storage/erofs/erofs_format.h"
#include "storage/erofs/erofs_xattrs.h"
#include "storage/oci/digest.h"

namespace crisp::storage {
namespace {

constexpr size_t kPiece = 64 << 10;  // no inode's head and no block goes over the end of one
constexpr size_t kMaxName = 255;

absl::Status Refused(absl::string_view why) {
  return absl::DataLossError(absl::StrCat("EROFS layer: ", why));
}

absl::Status ReadExactly(int fd, uint64_t offset, char* to, size_t size) {
  while (size > 0) {
    const ssize_t n = pread(fd, to, size, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "read the layer's file");
    if (n == 0) return Refused("cut off");
    to += n;
    offset += static_cast<uint64_t>(n);
    size -= static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

absl::StatusOr<ErofsSuper> ReadSuper(int file, uint64_t size) {
  ErofsSuper super;
  CRISP_RETURN_IF_ERROR(
      ReadExactly(file, kErofsSuperOffset, reinterpret_cast<char*>(&super), sizeof(super)));
  if (super.magic != kErofsMagic) return Refused("no super block");
  if (super.feature_incompat != 0 || super.feature_compat != kErofsCompatMtime ||
      super.extra_slots != 0 || super.compression != 0 || super.extra_devices != 0 ||
      super.dir_block_bits != 0 || super.xattr_prefixes != 0 || super.xattr_block != 0 ||
      super.packed_nid != 0) {
    return Refused("has features that layers do not");
  }
  if (super.block_bits < 9 || super.block_bits > 12) return Refused("bad block size");
  if (uint64_t{super.blocks} << super.block_bits != size) return Refused("bad size");
  const uint64_t meta = uint64_t{super.meta_block} << super.block_bits;
  if (meta < kErofsPage || meta % kErofsPage != 0 || meta >= size) return Refused("bad metadata");
  if (super.inodes == 0 || super.inodes > (size - meta) / sizeof(ErofsInode)) {
    return Refused("bad number of inodes");
  }
  if (super.root_nid * kErofsSlot != sizeof(ErofsInode)) return Refused("bad root");
  return super;
}

// The metadata, as it comes in pieces: all inodes, then all directories' names. Offsets are from
// its start.
class Checker {
 public:
  Checker(int file, const ErofsSuper& super)
      : file_(file),
        block_(uint64_t{1} << super.block_bits),
        meta_(uint64_t{super.meta_block} << super.block_bits),
        left_(super.inodes),
        kinds_(1 + super.inodes, kNone) {}

  absl::Status See(uint64_t at, absl::string_view piece) {
    CRISP_RETURN_IF_ERROR(SeeInodes(at, piece));
    return left_ > 0 ? absl::OkStatus() : SeeDirectories(at, piece);
  }
  absl::Status Finish() const {
    return left_ == 0 && directory_ == directories_.size() ? absl::OkStatus() : Refused("cut off");
  }

 private:
  // By 64 bytes of the inodes: what begins there.
  enum Kind : uint8_t { kNone, kInode, kDirectory, kFound };
  struct Directory {
    uint64_t self;   // number of its inode
    uint64_t start;  // as the inode says
    uint64_t size;
  };

  absl::Status SeeInodes(uint64_t at, absl::string_view piece) {
    while (left_ > 0 && next_ + sizeof(ErofsInode) <= at + piece.size()) {
      ErofsInode inode;
      memcpy(&inode, piece.data() + (next_ - at), sizeof(inode));
      if (inode.format == 0 && next_ % block_ != 0) {
        next_ = ErofsAlignUp(next_, block_);  // the rest of a block was too short for a symlink
        continue;
      }
      CRISP_RETURN_IF_ERROR(SeeInode(inode));
      --left_;
    }
    if (left_ == 0 && end_ == 0) end_ = ErofsAlignUp(next_, kErofsPage);
    return absl::OkStatus();
  }

  absl::Status SeeInode(const ErofsInode& inode) {
    const uint64_t slot = next_ / sizeof(ErofsInode);
    if (slot >= kinds_.size()) kinds_.resize(std::max<size_t>(slot + 1, kinds_.size() * 2), kNone);
    const uint64_t attributes = ErofsXattrBytes(inode.xattr_count);
    uint64_t size = sizeof(inode) + attributes;
    const bool is_inline = inode.format == kErofsInline;
    if (is_inline) {
      if (!S_ISLNK(inode.mode) || inode.size > block_) return Refused("bad symlink");
      size += inode.size;
      if (next_ % block_ + size > block_) return Refused("bad symlink");
    } else if (inode.format != kErofsFlat) {
      return Refused("bad inode");
    }
    if (inode.links == 0) return Refused("inode without a name");
    kinds_[slot] = S_ISDIR(inode.mode) ? kDirectory : kInode;
    if (next_ == sizeof(ErofsInode)) {
      if (!S_ISDIR(inode.mode)) return Refused("bad root");
      kinds_[slot] = kFound;
    }
    CRISP_RETURN_IF_ERROR(SeeContents(inode, is_inline));
    if (attributes > 0) CRISP_RETURN_IF_ERROR(SeeXattrs(next_ + sizeof(inode), attributes));
    next_ = ErofsAlignUp(next_ + size, sizeof(inode));
    return absl::OkStatus();
  }

  absl::Status SeeContents(const ErofsInode& inode, bool is_inline) {
    const uint64_t start = inode.start * block_;
    switch (inode.mode & S_IFMT) {
      case S_IFDIR:
        if (inode.size == 0) return Refused("empty directory");
        directories_.push_back({next_ / kErofsSlot, start, inode.size});
        return absl::OkStatus();
      case S_IFREG:
      case S_IFLNK:
        if (is_inline || inode.size == 0) return absl::OkStatus();
        if (start < kErofsPage || start > meta_ || inode.size > meta_ - start) {
          return Refused("contents outside of it");
        }
        return absl::OkStatus();
      case S_IFCHR:
      case S_IFBLK:
      case S_IFIFO:
        return inode.size == 0 ? absl::OkStatus() : Refused("bad inode");
      default:
        return Refused("bad inode");
    }
  }

  absl::Status SeeXattrs(uint64_t at, uint64_t size) const {
    std::string bytes(size, '\0');
    CRISP_RETURN_IF_ERROR(ReadExactly(file_, meta_ + at, bytes.data(), size));
    return AreErofsLayerXattrs(bytes) ? absl::OkStatus() : Refused("bad attributes");
  }

  // Each directory begins where the last one ends, so all of them come by in order.
  absl::Status SeeDirectories(uint64_t at, absl::string_view piece) {
    while (directory_ < directories_.size()) {
      const Directory& directory = directories_[directory_];
      if (offset_ == 0) {
        const uint64_t start = ErofsPlace(end_, directory.size, block_);
        if (directory.start != meta_ + start) return Refused("directory in another place");
        end_ = start;
        last_name_.clear();
        dots_ = 0;
      }
      const uint64_t here = end_ + offset_;
      const uint64_t size = std::min(block_, directory.size - offset_);
      if (here < at || here + size > at + piece.size()) return absl::OkStatus();  // not yet
      CRISP_RETURN_IF_ERROR(SeeBlock(directory, piece.substr(here - at, size)));
      offset_ += size;
      if (offset_ < directory.size) continue;
      if (dots_ != 2) return Refused("directory without itself or its parent");
      end_ = ErofsAlignUp(end_ + directory.size, block_);
      offset_ = 0;
      ++directory_;
    }
    return absl::OkStatus();
  }

  absl::Status SeeBlock(const Directory& directory, absl::string_view block) {
    ErofsDirent entry;
    if (block.size() < sizeof(entry)) return Refused("bad directory");
    memcpy(&entry, block.data(), sizeof(entry));
    const size_t count = entry.name_offset / sizeof(entry);
    if (count == 0 || entry.name_offset % sizeof(entry) != 0) return Refused("bad directory");
    for (size_t i = 0; i < count; ++i) {
      size_t end = block.size();
      if ((i + 1) * sizeof(entry) > block.size()) return Refused("bad directory");
      memcpy(&entry, block.data() + i * sizeof(entry), sizeof(entry));
      if (i + 1 < count) {
        ErofsDirent next;
        if ((i + 2) * sizeof(next) > block.size()) return Refused("bad directory");
        memcpy(&next, block.data() + (i + 1) * sizeof(next), sizeof(next));
        end = next.name_offset;
      }
      if (entry.name_offset < count * sizeof(entry) || end > block.size() ||
          entry.name_offset >= end) {
        return Refused("bad directory");
      }
      absl::string_view name = block.substr(entry.name_offset, end - entry.name_offset);
      if (i + 1 == count) name = name.substr(0, name.find('\0'));
      CRISP_RETURN_IF_ERROR(SeeName(directory, entry.nid, name));
    }
    return absl::OkStatus();
  }

  absl::Status SeeName(const Directory& directory, uint64_t nid, absl::string_view name) {
    const uint64_t slot = nid * kErofsSlot / sizeof(ErofsInode);
    if (nid % 2 != 0 || nid / 2 >= kinds_.size() || kinds_[slot] == kNone) {
      return Refused("name of nothing");
    }
    if (name.empty() || name.size() > kMaxName || name.find('/') != absl::string_view::npos ||
        name.find('\0') != absl::string_view::npos || name <= last_name_) {
      return Refused("bad name");
    }
    last_name_.assign(name.data(), name.size());
    if (name == "." || name == "..") {
      ++dots_;
      if (kinds_[slot] == kInode || (name == "." && nid != directory.self))
        return Refused("bad name");
      return absl::OkStatus();
    }
    if (kinds_[slot] == kFound) return Refused("directory in two places");
    if (kinds_[slot] == kDirectory) kinds_[slot] = kFound;
    return absl::OkStatus();
  }

  const int file_;
  const uint64_t block_;
  const uint64_t meta_;
  uint64_t left_;  // inodes that are to come
  uint64_t next_ = sizeof(ErofsInode);
  std::vector<uint8_t> kinds_;
  std::vector<Directory> directories_;
  size_t directory_ = 0;   // whose names are to come
  uint64_t end_ = 0;       // of what comes before it; once its first names are there, its start
  uint64_t offset_ = 0;    // in it
  std::string last_name_;  // of it
  int dots_ = 0;
};

}  // namespace

absl::StatusOr<LayerSeal> CheckErofs(int file) {
  struct stat st {};
  if (fstat(file, &st) != 0) return ErrnoError(errno, "stat the layer's file");
  const uint64_t size = static_cast<uint64_t>(st.st_size);
  CRISP_ASSIGN_OR_RETURN(const ErofsSuper super, ReadSuper(file, size));
  const uint64_t meta = uint64_t{super.meta_block} << super.block_bits;
  Hasher hasher;
  hasher.Update({reinterpret_cast<const char*>(&super), sizeof(super)});
  Checker checker(file, super);
  std::vector<char> buffer(kPiece);
  for (uint64_t at = meta; at < size;) {
    const absl::string_view piece(buffer.data(), std::min<uint64_t>(kPiece, size - at));
    CRISP_RETURN_IF_ERROR(ReadExactly(file, at, buffer.data(), piece.size()));
    CRISP_RETURN_IF_ERROR(checker.See(at - meta, piece));
    hasher.Update(piece);
    at += piece.size();
  }
  CRISP_RETURN_IF_ERROR(checker.Finish());
  return LayerSeal{.size = size, .digest = hasher.Finish()};
}

}  // namespace crisp::storage
