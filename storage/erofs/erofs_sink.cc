#include "storage/erofs/erofs_sink.h"

#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/container/btree_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace crisp::storage {
namespace {

constexpr char kAccessAcl[] = "system.posix_acl_access";
constexpr char kOpaque[] = "trusted.overlay.opaque";
constexpr unsigned kMaxMajor = 0xfff, kMaxMinor = 0xfffff;

absl::Status In(absl::string_view path, const absl::Status& status) {
  return Annotate(status, absl::StrCat("layer entry '", ShownName(path), "'"));
}

bool IsAbsent(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsFailedPrecondition(status);
}

mode_t TypeBits(LayerEntry::Type type) {
  switch (type) {
    case LayerEntry::Type::kSymlink:
      return S_IFLNK;
    case LayerEntry::Type::kFifo:
      return S_IFIFO;
    case LayerEntry::Type::kCharDevice:
      return S_IFCHR;
    case LayerEntry::Type::kBlockDevice:
      return S_IFBLK;
    case LayerEntry::Type::kDirectory:
      return S_IFDIR;
    default:
      return S_IFREG;
  }
}

uint32_t EncodeDevice(dev_t device) {
  return (minor(device) & 0xff) | major(device) << 8 | (minor(device) & ~0xffu) << 12;
}

void Describe(ErofsTree::Node& node, const LayerEntry& entry) {
  node.mode = static_cast<uint16_t>((node.mode & S_IFMT) | (entry.mode & 07777));
  node.uid = entry.uid;
  node.gid = entry.gid;
  node.mtime = entry.mtime;
}

}  // namespace

absl::StatusOr<int> ErofsSink::Parent(const std::string& path) {
  if (path.empty()) return static_cast<int>(ErofsTree::kRoot);
  if (cached_ && cached_parent_ == path) return static_cast<int>(cached_id_);
  absl::StatusOr<uint32_t> id = tree_.Resolve(path, ErofsTree::LastLink::kFollowed);
  const bool missing = id.ok() ? !S_ISDIR(tree_.node(*id).mode) : IsAbsent(id.status());
  if (missing) id = MakeParents(path);
  if (!id.ok()) return In(path, id.status());
  CRISP_RETURN_IF_ERROR(CheckDepth(*id, path));
  cached_ = true;
  cached_parent_ = path;
  cached_id_ = *id;
  return static_cast<int>(*id);
}

// Absent parents appear as root's, 0755; a file in the way gives way, a symlink is followed inside.
absl::StatusOr<uint32_t> ErofsSink::MakeParents(const std::string& path) {
  std::string done;
  uint32_t current = ErofsTree::kRoot;
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    const LayerName name{.parent = done, .base = std::string(part)};
    absl::StrAppend(&done, done.empty() ? "" : "/", part);
    absl::StatusOr<uint32_t> next = tree_.Resolve(done, ErofsTree::LastLink::kFollowed);
    if (!next.ok() && !IsAbsent(next.status())) return next.status();
    // Loops and dangling symlinks end here too: like any non-directory they are replaced.
    if (!next.ok() || !S_ISDIR(tree_.node(*next).mode)) {
      (void)Clear(current, name, OldDirectory::kGoes);
      CRISP_ASSIGN_OR_RETURN(next, tree_.Make(current, name.base, S_IFDIR | 0755));
      ++content_.inodes;
      CRISP_ASSIGN_OR_RETURN(const bool fresh, ReplaceWhiteout(done));
      tree_.node(*next).implicit = !fresh;
      CRISP_RETURN_IF_ERROR(CheckDepth(*next, done));
    }
    current = *next;
  }
  return current;
}

// Through symlinks a tree could be made deeper than any path says.
absl::Status ErofsSink::CheckDepth(uint32_t directory, absl::string_view path) const {
  if (tree_.directory(directory).depth > limits_.max_depth + 1) {
    return BadEntry(path, "nested too deep");
  }
  return absl::OkStatus();
}

// Makes the name free. True: a directory stands there and was to be kept.
bool ErofsSink::Clear(uint32_t parent, const LayerName& name, OldDirectory directory) {
  const uint32_t id = tree_.Find(parent, name.base);
  if (id == ErofsTree::kNone) return false;
  const mode_t mode = tree_.node(id).mode;
  if (S_ISDIR(mode) && directory == OldDirectory::kStays) return true;
  if (S_ISDIR(mode) || S_ISLNK(mode)) cached_ = false;
  const ErofsTree::Removed removed = tree_.Remove(parent, name.base);
  content_.inodes -= std::min(content_.inodes, removed.inodes);
  content_.bytes -= std::min(content_.bytes, removed.bytes);
  return false;
}

absl::StatusOr<LayerSink::Found> ErofsSink::Look(int parent, const std::string& base) {
  const uint32_t id = tree_.Find(static_cast<uint32_t>(parent), base);
  if (id == ErofsTree::kNone) return Found::kNothing;
  return S_ISDIR(tree_.node(id).mode) ? Found::kDirectory : Found::kOther;
}

absl::Status ErofsSink::MakeWhiteout(int parent, const LayerName& name) {
  return tree_.Make(static_cast<uint32_t>(parent), name.base, S_IFCHR).status();
}

absl::Status ErofsSink::SetOnItsOwn(int parent, const std::string& base) {
  tree_.node(tree_.Find(static_cast<uint32_t>(parent), base)).implicit = false;
  return absl::OkStatus();
}

absl::StatusOr<XattrMap> ErofsSink::Xattrs(const LayerEntry& entry) const {
  XattrMap xattrs;
  for (const auto& [name, value] : entry.xattrs) {
    if (!IsAllowedXattr(name)) continue;
    const absl::StatusOr<bool> kept = CheckXattr(name, value);
    if (!kept.ok()) return In(entry.path, kept.status());
    if (*kept) xattrs[name] = value;
  }
  return xattrs;
}

absl::Status ErofsSink::SetXattrs(uint32_t id, const XattrMap& xattrs) {
  if (xattrs.empty()) return absl::OkStatus();
  XattrMap kept = tree_.xattrs(tree_.node(id).xattrs);
  for (const auto& [name, value] : xattrs) kept[name] = value;
  if (const auto acl = kept.find(kAccessAcl); xattrs.count(kAccessAcl) > 0) {
    bool more_than_mode = false;
    ErofsTree::Node& node = tree_.node(id);
    node.mode = static_cast<uint16_t>(ModeWithAcl(node.mode, acl->second, &more_than_mode));
    if (!more_than_mode) kept.erase(acl);
  }
  CRISP_ASSIGN_OR_RETURN(tree_.node(id).xattrs, tree_.InternXattrs(kept));
  return absl::OkStatus();
}

absl::Status ErofsSink::DescribeRoot(const LayerEntry& entry) {
  root_described_ = true;
  return Remember("", entry);
}

absl::Status ErofsSink::Remember(const std::string& path, const LayerEntry& entry) {
  CRISP_ASSIGN_OR_RETURN(XattrMap xattrs, Xattrs(entry));
  CRISP_RETURN_IF_ERROR(tree_.Charge(sizeof(Described) + path.size()));
  described_.push_back({.path = path,
                        .mtime = entry.mtime,
                        .uid = entry.uid,
                        .gid = entry.gid,
                        .mode = static_cast<uint16_t>(entry.mode & 07777),
                        .xattrs = std::move(xattrs)});
  return absl::OkStatus();
}

absl::Status ErofsSink::Directory(int parent, const LayerName& name, const LayerEntry& entry) {
  const uint32_t in = static_cast<uint32_t>(parent);
  if (!Clear(in, name, OldDirectory::kStays)) {
    const absl::Status made = tree_.Make(in, name.base, S_IFDIR | 0700).status();
    if (!made.ok()) return In(entry.path, made);
    ++content_.inodes;
    CRISP_RETURN_IF_ERROR(ReplaceWhiteout(name.path()).status());
  }
  tree_.node(tree_.Find(in, name.base)).implicit = false;
  return Remember(name.path(), entry);
}

absl::Status ErofsSink::Link(int parent,
                             const LayerName& name,
                             const LayerName& target,
                             const LayerEntry& entry) {
  const uint32_t in = static_cast<uint32_t>(parent);
  const std::string what =
      absl::StrCat("hard link to '", ShownName(entry.target), "', which must be in the same layer");
  uint32_t from = in;
  if (target.parent != name.parent) {
    const absl::StatusOr<uint32_t> found =
        tree_.Resolve(target.parent, ErofsTree::LastLink::kFollowed);
    if (!found.ok()) return In(entry.path, Annotate(found.status(), what));
    from = *found;
  }
  const uint32_t id =
      S_ISDIR(tree_.node(from).mode) ? tree_.Find(from, target.base) : ErofsTree::kNone;
  const auto absent = [&] { return In(entry.path, ErrnoError(ENOENT, what)); };
  if (id == ErofsTree::kNone) return absent();
  if (S_ISDIR(tree_.node(id).mode)) return BadEntry(entry.path, "hard link to a directory");
  const uint32_t own = tree_.Find(in, name.base);
  if (own == id) return absl::OkStatus();  // they are one already
  if (own != ErofsTree::kNone && S_ISDIR(tree_.node(own).mode) && tree_.IsBelow(from, own)) {
    return absent();  // it goes with the directory whose name it was to get
  }
  (void)Clear(in, name, OldDirectory::kGoes);
  return In(entry.path, tree_.Link(in, name.base, id));
}

absl::Status ErofsSink::Node(int parent, const LayerName& name, const LayerEntry& entry) {
  const uint32_t in = static_cast<uint32_t>(parent);
  const mode_t type = TypeBits(entry.type);
  const bool device = type == S_IFCHR || type == S_IFBLK;
  if (device && (major(entry.device) > kMaxMajor || minor(entry.device) > kMaxMinor)) {
    return BadEntry(entry.path, "device number out of range");
  }
  if (type == S_IFLNK && entry.target.size() >= PATH_MAX) {
    return BadEntry(entry.path, "bad symlink target");
  }
  (void)Clear(in, name, OldDirectory::kGoes);
  const absl::StatusOr<uint32_t> id = tree_.Make(in, name.base, type, entry.target);
  if (!id.ok()) return In(entry.path, id.status());
  ErofsTree::Node& node = tree_.node(*id);
  Describe(node, entry);
  if (type == S_IFLNK) {
    node.mode = S_IFLNK | 0777;
    cached_ = false;
  }
  if (device) node.start = EncodeDevice(entry.device);
  ++content_.inodes;
  whiteouts_.erase(name.path());
  return absl::OkStatus();
}

absl::Status ErofsSink::File(int parent, const LayerName& name, const LayerEntry& entry) {
  const uint32_t in = static_cast<uint32_t>(parent);
  if (tree_.Find(in, name.base) != ErofsTree::kNone) {
    (void)Clear(in, name, OldDirectory::kGoes);
    whiteouts_.erase(name.path());
  }
  const absl::StatusOr<uint32_t> id = tree_.Make(in, name.base, S_IFREG);
  if (!id.ok()) return In(entry.path, id.status());
  file_ = *id;
  const absl::StatusOr<uint32_t> start = writer_.Reserve(entry.size);
  if (!start.ok()) return In(entry.path, start.status());
  ErofsTree::Node& node = tree_.node(file_);
  Describe(node, entry);
  node.start = *start;
  node.size = entry.size;
  ++content_.inodes;
  content_.bytes += entry.size;
  return absl::OkStatus();
}

absl::Status ErofsSink::Write(absl::string_view bytes, uint64_t offset, const LayerEntry& entry) {
  const absl::Status status = writer_.Write(tree_.node(file_).start, offset, bytes);
  return status.ok() ? status : In(entry.path, status);
}

absl::Status ErofsSink::FinishFile(const LayerEntry& entry) {
  if (entry.xattrs.empty()) return absl::OkStatus();
  CRISP_ASSIGN_OR_RETURN(const XattrMap xattrs, Xattrs(entry));
  return In(entry.path, SetXattrs(file_, xattrs));
}

absl::Status ErofsSink::FinishDirectory(const Described& described) {
  const absl::StatusOr<uint32_t> id = tree_.Resolve(described.path, ErofsTree::LastLink::kItself);
  if (!id.ok() && !IsAbsent(id.status())) return In(described.path, id.status());
  // Replaced later in the same archive.
  if (!id.ok() || !S_ISDIR(tree_.node(*id).mode)) return absl::OkStatus();
  ErofsTree::Node& node = tree_.node(*id);
  node.uid = described.uid;
  node.gid = described.gid;
  node.mode = S_IFDIR | described.mode;
  node.mtime = described.mtime;
  return In(described.path, SetXattrs(*id, described.xattrs));
}

absl::Status ErofsSink::MarkOpaque() {
  for (const std::string& path : std::exchange(content_.opaque_dirs, {})) {
    const absl::StatusOr<uint32_t> id = tree_.Resolve(path, ErofsTree::LastLink::kFollowed);
    if (!id.ok() && !IsAbsent(id.status())) return In(path, id.status());
    if (!id.ok() || !S_ISDIR(tree_.node(*id).mode)) continue;
    ErofsTree::Node& node = tree_.node(*id);
    if (std::exchange(node.opaque, true)) continue;
    XattrMap xattrs = tree_.xattrs(node.xattrs);
    xattrs[kOpaque] = "y";
    CRISP_ASSIGN_OR_RETURN(node.xattrs, tree_.InternXattrs(xattrs));
  }
  return absl::OkStatus();
}

absl::Status ErofsSink::ListWhiteouts() {
  absl::btree_set<std::string> paths;
  for (const std::string& parent : WhiteoutParents()) {
    const absl::StatusOr<uint32_t> id =
        tree_.Resolve(parent == "." ? "" : parent, ErofsTree::LastLink::kFollowed);
    if (id.ok() && S_ISDIR(tree_.node(*id).mode)) paths.insert(tree_.PathOf(*id));
  }
  for (const std::string& path : paths) CRISP_RETURN_IF_ERROR(HasWhiteouts(path));
  return absl::OkStatus();
}

absl::StatusOr<LayerContent> ErofsSink::Finish() {
  for (const Described& described : described_) CRISP_RETURN_IF_ERROR(FinishDirectory(described));
  CRISP_RETURN_IF_ERROR(MarkOpaque());
  if (!root_described_) CRISP_RETURN_IF_ERROR(Implicit("."));
  for (uint32_t id = 0; id < tree_.size(); ++id) {
    const ErofsTree::Node& node = tree_.node(id);
    if (node.implicit && node.names > 0) CRISP_RETURN_IF_ERROR(Implicit(tree_.PathOf(id)));
  }
  std::sort(content_.implicit_dirs.begin(), content_.implicit_dirs.end());
  CRISP_RETURN_IF_ERROR(ListWhiteouts());
  CRISP_ASSIGN_OR_RETURN(content_.disk_bytes, writer_.Finish(tree_));
  return std::move(content_);
}

}  // namespace crisp::storage
