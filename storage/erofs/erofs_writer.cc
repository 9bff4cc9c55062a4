#include "storage/erofs/erofs_writer.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "storage/erofs/erofs_format.h"

namespace crisp::storage {
namespace {

constexpr size_t kBuffer = 1 << 20;
constexpr size_t kUnbuffered = 128 << 10;
constexpr uint64_t kFirstInode = sizeof(ErofsInode);  // number 0 is taken for none in places

uint8_t DirentType(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return 1;
    case S_IFDIR:
      return 2;
    case S_IFCHR:
      return 3;
    case S_IFBLK:
      return 4;
    case S_IFIFO:
      return 5;
    default:
      return 7;
  }
}

struct Name {
  absl::string_view name;
  uint32_t id;
};

// With "." and "..", sorted as bytes.
std::vector<Name> NamesOf(const ErofsTree::Directory& directory, uint32_t id) {
  std::vector<Name> names;
  names.reserve(directory.children.size() + 2);
  for (const auto& [name, child] : directory.children) names.push_back({name, child});
  for (const Name& extra : {Name{".", id}, Name{"..", directory.parent}}) {
    const auto before = [](const Name& a, const Name& b) { return a.name < b.name; };
    names.insert(std::lower_bound(names.begin(), names.end(), extra, before), extra);
  }
  return names;
}

// How many of the names from `first` on go into one block, and the bytes that takes.
size_t FillBlock(const std::vector<Name>& names, size_t first, uint64_t block, uint64_t* bytes) {
  *bytes = 0;
  size_t count = 0;
  for (size_t i = first; i < names.size(); ++i, ++count) {
    const uint64_t more = sizeof(ErofsDirent) + names[i].name.size();
    if (*bytes + more > block) break;
    *bytes += more;
  }
  return count;
}

uint64_t DirectorySize(const std::vector<Name>& names, uint64_t block) {
  uint64_t blocks = 0, bytes = 0;
  for (size_t i = 0; i < names.size(); ++blocks) i += FillBlock(names, i, block, &bytes);
  return (blocks - 1) * block + bytes;
}

bool IsInline(const ErofsTree::Node& node, const std::string& xattrs, uint64_t block) {
  return S_ISLNK(node.mode) && sizeof(ErofsInode) + xattrs.size() + node.size <= block;
}

bool HasContents(const ErofsTree::Node& node) {
  return S_ISREG(node.mode) || S_ISDIR(node.mode) || S_ISLNK(node.mode);
}

}  // namespace

ErofsWriter::ErofsWriter(int fd, const ErofsOptions& options)
    : fd_(fd), options_(options), end_(std::max(kErofsPage, block())) {}

absl::StatusOr<uint32_t> ErofsWriter::Reserve(uint64_t size) {
  const uint64_t start = ErofsPlace(end_, size, block());
  const uint64_t end = ErofsAlignUp(start + size, block());
  if (end >> options_.block_bits > UINT32_MAX) {
    return absl::ResourceExhaustedError(
        "the layer is too large for an EROFS image; directories can hold it");
  }
  end_ = end;
  return static_cast<uint32_t>(start >> options_.block_bits);
}

absl::Status ErofsWriter::Write(uint32_t block, uint64_t offset, absl::string_view bytes) {
  return WriteAt((uint64_t{block} << options_.block_bits) + offset, bytes);
}

absl::Status ErofsWriter::WriteAt(uint64_t offset, absl::string_view bytes) {
  if (bytes.empty()) return absl::OkStatus();
  const uint64_t at = buffer_at_ + buffer_.size();
  if (offset != at) {
    // Zeros rather than a seek, where nothing can have been written.
    if (offset > at && offset - at <= kErofsPage && at >= written_) {
      buffer_.append(offset - at, '\0');
    } else {
      CRISP_RETURN_IF_ERROR(Flush());
      buffer_at_ = offset;
    }
  }
  if (buffer_.size() + bytes.size() > kBuffer || bytes.size() >= kUnbuffered) {
    CRISP_RETURN_IF_ERROR(Flush());
  }
  written_ = std::max(written_, offset + bytes.size());
  absl::StrAppend(&buffer_, bytes);
  return bytes.size() >= kUnbuffered ? Flush() : absl::OkStatus();
}

absl::Status ErofsWriter::Flush() {
  absl::string_view left = buffer_;
  while (!left.empty()) {
    const ssize_t n = pwrite(fd_, left.data(), left.size(), static_cast<off_t>(buffer_at_));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "write the layer's file");
    left.remove_prefix(static_cast<size_t>(n));
    buffer_at_ += static_cast<uint64_t>(n);
  }
  buffer_.clear();
  return absl::OkStatus();
}

// A symlink that is kept behind its inode must not go over the end of the block with it.
void ErofsWriter::PlaceInode(const ErofsTree& tree, uint32_t id, Layout& layout) const {
  const ErofsTree::Node& node = tree.node(id);
  const std::string& xattrs = tree.encoded_xattrs(node.xattrs);
  uint64_t size = sizeof(ErofsInode) + xattrs.size();
  uint64_t at = ErofsAlignUp(layout.size, sizeof(ErofsInode));
  if (IsInline(node, xattrs, block())) {
    size += node.size;
    if (at % block() + size > block()) at = ErofsAlignUp(at, block());
  }
  layout.nids[id] = static_cast<uint32_t>(at / kErofsSlot);
  layout.order.push_back(id);
  layout.size = at + size;
}

// A directory's children follow each other, as listing them and looking at each wants it.
absl::StatusOr<ErofsWriter::Layout> ErofsWriter::LayOut(ErofsTree& tree) const {
  Layout layout{.size = kFirstInode};
  layout.nids.resize(tree.size());
  PlaceInode(tree, ErofsTree::kRoot, layout);
  for (size_t i = 0; i < layout.order.size(); ++i) {
    const uint32_t id = layout.order[i];
    if (!S_ISDIR(tree.node(id).mode)) continue;
    const std::vector<Name> names = NamesOf(tree.directory(id), id);
    tree.node(id).size = DirectorySize(names, block());
    ++layout.directories;
    for (const auto& [name, child] : tree.directory(id).children) {
      if (layout.nids[child] == 0) PlaceInode(tree, child, layout);
    }
  }
  if (layout.size / kErofsSlot > UINT32_MAX) {
    return absl::ResourceExhaustedError("the layer has too many files for an EROFS image");
  }
  return layout;
}

absl::StatusOr<uint64_t> ErofsWriter::Finish(ErofsTree& tree) {
  CRISP_ASSIGN_OR_RETURN(const Layout layout, LayOut(tree));
  for (const uint32_t id : layout.order) {
    ErofsTree::Node& node = tree.node(id);
    if (!S_ISLNK(node.mode) || IsInline(node, tree.encoded_xattrs(node.xattrs), block())) continue;
    CRISP_ASSIGN_OR_RETURN(node.start, Reserve(node.size));
    CRISP_RETURN_IF_ERROR(Write(node.start, 0, tree.symlink(id)));
  }
  const uint64_t meta = ErofsAlignUp(end_, kErofsPage);
  end_ = meta;
  CRISP_RETURN_IF_ERROR(Reserve(ErofsAlignUp(layout.size, kErofsPage)).status());
  for (const uint32_t id : layout.order) {
    ErofsTree::Node& node = tree.node(id);
    if (!S_ISDIR(node.mode)) continue;
    CRISP_ASSIGN_OR_RETURN(node.start, Reserve(node.size));
  }
  CRISP_RETURN_IF_ERROR(WriteInodes(tree, layout, meta));
  for (const uint32_t id : layout.order) {
    if (S_ISDIR(tree.node(id).mode)) CRISP_RETURN_IF_ERROR(WriteDirectory(tree, layout, id));
  }
  CRISP_RETURN_IF_ERROR(Flush());
  end_ = ErofsAlignUp(end_, kErofsPage);
  if (ftruncate(fd_, static_cast<off_t>(end_)) != 0) {
    return ErrnoError(errno, "set the size of the layer's file");
  }
  CRISP_RETURN_IF_ERROR(WriteSuper(layout, meta));
  return end_;
}

absl::Status ErofsWriter::WriteInodes(const ErofsTree& tree, const Layout& layout, uint64_t meta) {
  uint32_t number = 0;
  for (const uint32_t id : layout.order) {
    const ErofsTree::Node& node = tree.node(id);
    const std::string& xattrs = tree.encoded_xattrs(node.xattrs);
    const bool is_inline = IsInline(node, xattrs, block());
    ErofsInode inode{};
    inode.format = is_inline ? kErofsInline : kErofsFlat;
    if (!xattrs.empty()) {
      inode.xattr_count = static_cast<uint16_t>((xattrs.size() - kErofsXattrHeader) / 4 + 1);
    }
    inode.mode = node.mode;
    inode.size = HasContents(node) ? node.size : 0;
    inode.start = node.start;
    inode.ino = ++number;
    inode.uid = node.uid;
    inode.gid = node.gid;
    inode.mtime = node.mtime.tv_sec;
    inode.mtime_nsec = static_cast<uint32_t>(node.mtime.tv_nsec);
    inode.links = node.names;
    if (S_ISDIR(node.mode)) {
      inode.links = 2;
      for (const auto& [name, child] : tree.directory(id).children) {
        if (S_ISDIR(tree.node(child).mode)) ++inode.links;
      }
    }
    std::string bytes(reinterpret_cast<const char*>(&inode), sizeof(inode));
    bytes += xattrs;
    if (is_inline) bytes += tree.symlink(id);
    CRISP_RETURN_IF_ERROR(WriteAt(meta + layout.nids[id] * kErofsSlot, bytes));
  }
  return absl::OkStatus();
}

absl::Status ErofsWriter::WriteDirectory(const ErofsTree& tree, const Layout& layout, uint32_t id) {
  const std::vector<Name> names = NamesOf(tree.directory(id), id);
  uint64_t at = 0;
  for (size_t i = 0; i < names.size(); at += block()) {
    uint64_t bytes = 0;
    const size_t count = FillBlock(names, i, block(), &bytes);
    std::string text(count * sizeof(ErofsDirent), '\0');
    for (size_t k = 0; k < count; ++k, ++i) {
      ErofsDirent dirent{};
      dirent.nid = layout.nids[names[i].id];
      dirent.name_offset = static_cast<uint16_t>(text.size());
      dirent.type = DirentType(tree.node(names[i].id).mode);
      memcpy(text.data() + k * sizeof(dirent), &dirent, sizeof(dirent));
      absl::StrAppend(&text, names[i].name);
    }
    if (i < names.size()) text.resize(block());
    CRISP_RETURN_IF_ERROR(Write(tree.node(id).start, at, text));
  }
  return absl::OkStatus();
}

absl::Status ErofsWriter::WriteSuper(const Layout& layout, uint64_t meta) {
  ErofsSuper super{};
  super.magic = kErofsMagic;
  super.feature_compat = kErofsCompatMtime;
  super.block_bits = static_cast<uint8_t>(options_.block_bits);
  super.root_nid = static_cast<uint16_t>(layout.nids[ErofsTree::kRoot]);
  super.inodes = layout.order.size();
  super.build_time = static_cast<uint64_t>(time(nullptr));
  super.blocks = static_cast<uint32_t>(end_ >> options_.block_bits);
  super.meta_block = static_cast<uint32_t>(meta >> options_.block_bits);
  std::copy(options_.uuid.begin(), options_.uuid.end(), super.uuid);
  const absl::string_view bytes(reinterpret_cast<const char*>(&super), sizeof(super));
  CRISP_RETURN_IF_ERROR(WriteAt(kErofsSuperOffset, bytes));
  return Flush();
}

}  // namespace crisp::storage
