#include "storage/layer_applier.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/status.h"
#include "storage/tree_walk.h"

namespace crisp::storage {
namespace {

constexpr absl::string_view kWhiteoutPrefix = ".wh.";
constexpr absl::string_view kOpaqueMarker = ".wh..wh..opq";
constexpr absl::string_view kWhiteoutMeta = ".wh..wh.";  // aufs' own bookkeeping; means nothing here
constexpr uint64_t kBlock = 4096;

uint64_t Blocks(uint64_t bytes) { return (bytes + kBlock - 1) / kBlock * kBlock; }

int OpenAt2(int root, const std::string& path, uint64_t flags, uint64_t resolve) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = resolve | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  long fd;
  do {
    fd = syscall(SYS_openat2, root, path.empty() ? "." : path.c_str(), &how, sizeof(how));
  } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
  return static_cast<int>(fd);
}

absl::Status Bad(absl::string_view path, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("layer entry '", path.substr(0, 200), "': ", why));
}

absl::Status Failed(absl::string_view verb, absl::string_view path) {
  return ErrnoError(errno, absl::StrCat("layer entry '", path.substr(0, 200), "': ", verb));
}

bool AllowedXattr(absl::string_view name) {
  if (absl::StartsWith(name, "user.")) return !absl::StartsWith(name, "user.overlay.");
  return name == "security.capability" || name == "system.posix_acl_access" ||
         name == "system.posix_acl_default";
}

// A file system without some kind of attribute does not make the image unusable, as in containerd.
template <typename Set>
absl::Status SetXattrs(const LayerEntry& entry, const Set& set) {
  for (const auto& [name, value] : entry.xattrs) {
    if (!AllowedXattr(name)) continue;
    if (set(name.c_str(), value) != 0 && errno != ENOTSUP && errno != EPERM) {
      return Failed(absl::StrCat("set ", name), entry.path);
    }
  }
  return absl::OkStatus();
}

bool HasSpecialBits(mode_t mode) { return (mode & (S_ISUID | S_ISGID)) != 0; }

}  // namespace

LayerApplier::LayerApplier(int root_fd, ApplyLimits limits) : root_(root_fd), limits_(limits) {}

absl::StatusOr<LayerApplier::Name> LayerApplier::Split(absl::string_view path) const {
  if (path.size() > limits_.max_name) return Bad(path, "name too long");
  if (path.find('\0') != absl::string_view::npos) return Bad(path, "name holds a NUL");
  std::vector<absl::string_view> parts;
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    if (part == "..") return Bad(path, "name leads upwards");
    if (part.size() > limits_.max_component) return Bad(path, "component too long");
    parts.push_back(part);
  }
  if (parts.size() > static_cast<size_t>(limits_.max_depth)) return Bad(path, "nested too deep");
  Name name;
  if (parts.empty()) return name;
  name.base = std::string(parts.back());
  parts.pop_back();
  name.parent = absl::StrJoin(parts, "/");
  return name;
}

absl::StatusOr<int> LayerApplier::Parent(const std::string& path) {
  if (path.empty()) return root_;
  if (!cached_fd_ || cached_parent_ != path) {
    CRISP_ASSIGN_OR_RETURN(cached_fd_, OpenParent(path));
    cached_parent_ = path;
  }
  return cached_fd_.get();
}

absl::StatusOr<UniqueFd> LayerApplier::OpenParent(const std::string& path) {
  constexpr uint64_t kFlags = O_PATH | O_DIRECTORY;
  UniqueFd fd(OpenAt2(root_, path, kFlags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS));
  if (fd) return fd;
  if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) {
    CRISP_RETURN_IF_ERROR(MakeParents(path));
    fd.reset(OpenAt2(root_, path, kFlags, RESOLVE_IN_ROOT));
  }
  if (!fd) return Failed("open its directory", path);
  CRISP_RETURN_IF_ERROR(CheckDepth(fd.get(), path));
  return fd;
}

// Absent parents appear as root's, 0755; a file in the way gives way, a symlink is followed inside.
absl::Status LayerApplier::MakeParents(const std::string& path) {
  std::string done;
  UniqueFd current(OpenAt2(root_, "", O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT));
  if (!current) return Failed("open root", path);
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    const Name name{.parent = done, .base = std::string(part)};
    absl::StrAppend(&done, done.empty() ? "" : "/", part);
    UniqueFd next(OpenAt2(root_, done, O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT));
    if (!next) {
      // ELOOP and a dangling symlink end here too: like any non-directory they are replaced.
      if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP) return Failed("open", done);
      CRISP_RETURN_IF_ERROR(Clear(current.get(), name, false).status());
      if (mkdirat(current.get(), name.base.c_str(), 0755) != 0) return Failed("mkdir", done);
      ++content_.inodes;
      content_.disk_bytes += kBlock;
      CRISP_RETURN_IF_ERROR(NoteDirectory(current.get(), name.base, &done));
      if (whiteouts_.erase(done) > 0) CRISP_RETURN_IF_ERROR(Opaque(done));
      next.reset(OpenAt2(root_, done, O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT));
      if (!next) return Failed("open", done);
      CRISP_RETURN_IF_ERROR(CheckDepth(next.get(), done));
    }
    current = std::move(next);
  }
  return absl::OkStatus();
}

// Through symlinks a tree could be made deeper than any path says, too deep to be removed again.
absl::Status LayerApplier::CheckDepth(int dir_fd, absl::string_view path) const {
  struct stat root {}, here {};
  if (fstat(root_, &root) != 0 || fstat(dir_fd, &here) != 0) return Failed("stat", path);
  UniqueFd up;
  for (int depth = 0; here.st_ino != root.st_ino || here.st_dev != root.st_dev; ++depth) {
    if (depth > limits_.max_depth) return Bad(path, "nested too deep");
    UniqueFd next(openat(up ? up.get() : dir_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!next || fstat(next.get(), &here) != 0) return Failed("stat", path);
    up = std::move(next);
  }
  return absl::OkStatus();
}

// Takes what is about to be removed out of the counts.
absl::Status LayerApplier::Forget(int parent, const std::string& base) {
  CRISP_ASSIGN_OR_RETURN(const TreeCount count, CountTree(parent, base));
  content_.inodes -= std::min(content_.inodes, count.inodes);
  content_.bytes -= std::min(content_.bytes, count.bytes);
  content_.disk_bytes -= std::min(content_.disk_bytes, count.disk_bytes);
  return absl::OkStatus();
}

// Makes the name free. True: a directory stands there and was to be kept.
absl::StatusOr<bool> LayerApplier::Clear(int parent, const Name& name, bool keep_directory) {
  struct stat st {};
  if (fstatat(parent, name.base.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return false;
    return Failed("stat", name.path());
  }
  if (S_ISDIR(st.st_mode) && keep_directory) return true;
  CRISP_RETURN_IF_ERROR(Forget(parent, name.base));
  // The cached parent may be what goes, or may have been reached through it.
  if (S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode)) cached_parent_.clear();
  CRISP_RETURN_IF_ERROR(
      Annotate(RemoveTreeAt(parent, name.base), absl::StrCat("layer entry '", name.path(), "'")));
  return false;
}

absl::StatusOr<UniqueFd> LayerApplier::Add(const LayerEntry& entry) {
  if (++content_.entries > limits_.max_entries) {
    return absl::ResourceExhaustedError(
        absl::StrCat("layer has more than ", limits_.max_entries, " entries"));
  }
  size_t xattr_bytes = 0;
  for (const auto& [name, value] : entry.xattrs) xattr_bytes += name.size() + value.size();
  if (xattr_bytes > limits_.max_xattr_bytes) return Bad(entry.path, "too many extended attributes");
  CRISP_ASSIGN_OR_RETURN(const Name name, Split(entry.path));
  if (name.base.empty()) {
    if (entry.type != LayerEntry::Type::kDirectory) return Bad(entry.path, "replaces the root");
    directories_.push_back(entry);
    directories_.back().path.clear();
    root_described_ = true;
    return UniqueFd();
  }
  CRISP_ASSIGN_OR_RETURN(const int parent, Parent(name.parent));
  if (absl::StartsWith(name.base, kWhiteoutPrefix)) {
    CRISP_RETURN_IF_ERROR(Whiteout(parent, name));
    return UniqueFd();
  }
  absl::Status status;
  switch (entry.type) {
    case LayerEntry::Type::kFile:
      return File(parent, name, entry);
    case LayerEntry::Type::kDirectory:
      status = Directory(parent, name, entry);
      break;
    case LayerEntry::Type::kHardlink:
      status = Link(parent, name, entry);
      break;
    default:
      status = Node(parent, name, entry);
  }
  if (!status.ok()) return status;
  return UniqueFd();
}

absl::Status LayerApplier::Whiteout(int parent, const Name& name) {
  if (name.base == kOpaqueMarker) return Opaque(name.parent);
  if (absl::StartsWith(name.base, kWhiteoutMeta)) return absl::OkStatus();
  const Name hidden{.parent = name.parent, .base = name.base.substr(kWhiteoutPrefix.size())};
  if (hidden.base.empty() || hidden.base == "." || hidden.base == "..") {
    return Bad(name.path(), "whiteout of nothing");
  }
  // What this layer itself brought stays (OCI image spec, layer.md, "Whiteouts"): a whiteout speaks
  // of the layers below. For a directory that means: nothing of theirs shows through.
  struct stat st {};
  if (fstatat(parent, hidden.base.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
    return S_ISDIR(st.st_mode) ? Opaque(hidden.path()) : absl::OkStatus();
  }
  if (mknodat(parent, hidden.base.c_str(), S_IFCHR, makedev(0, 0)) != 0) {
    return Failed("make whiteout", name.path());
  }
  ++content_.inodes;
  whiteouts_.insert(hidden.path());
  return absl::OkStatus();
}

absl::Status LayerApplier::Opaque(const std::string& directory) {
  return List(directory, content_.opaque_dirs);
}

absl::Status LayerApplier::List(const std::string& directory, std::vector<std::string>& list) {
  listed_bytes_ += directory.size() + 1;
  if (listed_bytes_ > limits_.max_listed_bytes) {
    return absl::ResourceExhaustedError("layer has too many opaque or implicit directories");
  }
  list.push_back(directory);
  return absl::OkStatus();
}

// By inode, since symlinks give a directory many names. A number that a removed directory had comes
// back to a later one: whichever was made last counts.
absl::Status LayerApplier::NoteDirectory(int parent,
                                         const std::string& base,
                                         const std::string* implicit_path) {
  if (implicit_path == nullptr && implicit_.empty()) return absl::OkStatus();
  struct stat st {};
  if (fstatat(parent, base.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return Failed("stat", base);
  if (implicit_path == nullptr) {
    implicit_.erase(st.st_ino);
  } else {
    implicit_[st.st_ino] = *implicit_path;
  }
  return absl::OkStatus();
}

absl::Status LayerApplier::ListImplicit() {
  if (!root_described_) CRISP_RETURN_IF_ERROR(List(".", content_.implicit_dirs));
  for (const auto& [inode, path] : implicit_) {
    const UniqueFd fd(OpenAt2(root_, path, O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT));
    struct stat st {};
    // Replaced later in the same archive.
    if (!fd || fstat(fd.get(), &st) != 0 || st.st_ino != inode) continue;
    CRISP_RETURN_IF_ERROR(List(path, content_.implicit_dirs));
  }
  std::sort(content_.implicit_dirs.begin(), content_.implicit_dirs.end());
  return absl::OkStatus();
}

absl::Status LayerApplier::Directory(int parent, const Name& name, const LayerEntry& entry) {
  CRISP_ASSIGN_OR_RETURN(const bool there, Clear(parent, name, true));
  if (!there) {
    // Restrictive until the end: default ACLs and setgid bits must not reach the children.
    if (mkdirat(parent, name.base.c_str(), 0700) != 0) return Failed("mkdir", entry.path);
    ++content_.inodes;
    content_.disk_bytes += kBlock;
    // A directory in place of a whiteout is a new one, not a merge with what lies below.
    if (whiteouts_.erase(name.path()) > 0) CRISP_RETURN_IF_ERROR(Opaque(name.path()));
  }
  CRISP_RETURN_IF_ERROR(NoteDirectory(parent, name.base, nullptr));
  directories_.push_back(entry);
  directories_.back().path = name.path();
  return absl::OkStatus();
}

absl::Status LayerApplier::Link(int parent, const Name& name, const LayerEntry& entry) {
  CRISP_ASSIGN_OR_RETURN(const Name target, Split(entry.target));
  if (target.base.empty()) return Bad(entry.path, "hard link to the root");
  if (target.path() == name.path()) return absl::OkStatus();
  // The usual case in one step: the target is there and the name is free. `parent` is the cached one.
  const bool beside = target.parent == name.parent;
  UniqueFd opened;
  if (!beside) opened.reset(OpenAt2(root_, target.parent, O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT));
  const int from = beside ? parent : opened.get();
  if (from < 0) return Failed(absl::StrCat("hard link to '", entry.target, "'"), entry.path);
  // Without AT_SYMLINK_FOLLOW: a link to a symlink is one more name of the symlink.
  if (linkat(from, target.base.c_str(), parent, name.base.c_str(), 0) != 0) {
    CRISP_RETURN_IF_ERROR(LinkOver(parent, name, entry, from, target.base));
  }
  whiteouts_.erase(name.path());
  return absl::OkStatus();
}

// Where something has the name already (a whiteout too), or the target cannot be linked to.
absl::Status LayerApplier::LinkOver(int parent,
                                    const Name& name,
                                    const LayerEntry& entry,
                                    int from,
                                    const std::string& target) {
  struct stat st {};
  if (fstatat(from, target.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    return Failed(absl::StrCat("hard link to '", entry.target, "'"), entry.path);
  }
  if (S_ISDIR(st.st_mode)) return Bad(entry.path, "hard link to a directory");
  struct stat own {};
  if (fstatat(parent, name.base.c_str(), &own, AT_SYMLINK_NOFOLLOW) == 0 &&
      own.st_ino == st.st_ino && own.st_dev == st.st_dev) {
    return absl::OkStatus();  // they are one already; clearing the name could lose the only one
  }
  CRISP_RETURN_IF_ERROR(Clear(parent, name, false).status());
  if (linkat(from, target.c_str(), parent, name.base.c_str(), 0) != 0) {
    return Failed(absl::StrCat("hard link to '", entry.target, "'"), entry.path);
  }
  return absl::OkStatus();
}

absl::Status LayerApplier::Node(int parent, const Name& name, const LayerEntry& entry) {
  CRISP_RETURN_IF_ERROR(Clear(parent, name, false).status());
  const char* base = name.base.c_str();
  const mode_t mode = entry.mode & 07777;
  int made = -1;
  switch (entry.type) {
    case LayerEntry::Type::kSymlink:
      if (entry.target.empty() || entry.target.size() > limits_.max_name) {
        return Bad(entry.path, "bad symlink target");
      }
      made = symlinkat(entry.target.c_str(), parent, base);
      cached_parent_.clear();
      break;
    case LayerEntry::Type::kFifo:
      made = mknodat(parent, base, S_IFIFO | mode, 0);
      break;
    case LayerEntry::Type::kCharDevice:
      made = mknodat(parent, base, S_IFCHR | mode, entry.device);
      break;
    default:
      made = mknodat(parent, base, S_IFBLK | mode, entry.device);
  }
  if (made != 0) return Failed("create", entry.path);
  ++content_.inodes;
  whiteouts_.erase(name.path());
  if (fchownat(parent, base, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return Failed("chown", entry.path);
  }
  if (entry.type != LayerEntry::Type::kSymlink && HasSpecialBits(mode) &&
      fchmodat(parent, base, mode, 0) != 0) {
    return Failed("chmod", entry.path);
  }
  const timespec times[2] = {entry.mtime, entry.mtime};
  if (utimensat(parent, base, times, AT_SYMLINK_NOFOLLOW) != 0) {
    return Failed("set times", entry.path);
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> LayerApplier::File(int parent,
                                            const Name& name,
                                            const LayerEntry& entry) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  UniqueFd fd(openat(parent, name.base.c_str(), kFlags, entry.mode & 0777));
  if (!fd && errno == EEXIST) {
    CRISP_RETURN_IF_ERROR(Clear(parent, name, false).status());
    whiteouts_.erase(name.path());
    fd.reset(openat(parent, name.base.c_str(), kFlags, entry.mode & 0777));
  }
  if (!fd) return Failed("create", entry.path);
  ++content_.inodes;
  content_.bytes += entry.size;
  content_.disk_bytes += Blocks(entry.size);
  return fd;
}

// In this order: chown and write clear setuid bits and capabilities, all of them set the times.
absl::Status LayerApplier::FinishFile(const LayerEntry& entry, int fd) {
  if ((entry.uid != 0 || entry.gid != 0) && fchown(fd, entry.uid, entry.gid) != 0) {
    return Failed("chown", entry.path);
  }
  if ((entry.mode & 07000) != 0 && fchmod(fd, entry.mode & 07777) != 0) {
    return Failed("chmod", entry.path);
  }
  CRISP_RETURN_IF_ERROR(SetXattrs(entry, [fd](const char* name, const std::string& value) {
    return fsetxattr(fd, name, value.data(), value.size(), 0);
  }));
  const timespec times[2] = {entry.mtime, entry.mtime};
  if (futimens(fd, times) != 0) return Failed("set times", entry.path);
  return absl::OkStatus();
}

absl::Status LayerApplier::FinishDirectory(const LayerEntry& entry) {
  UniqueFd fd(OpenAt2(root_, entry.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, RESOLVE_IN_ROOT));
  if (!fd) {
    // Replaced later in the same archive.
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return absl::OkStatus();
    return Failed("open", entry.path);
  }
  if (fchown(fd.get(), entry.uid, entry.gid) != 0) return Failed("chown", entry.path);
  if (fchmod(fd.get(), entry.mode & 07777) != 0) return Failed("chmod", entry.path);
  CRISP_RETURN_IF_ERROR(SetXattrs(entry, [&fd](const char* name, const std::string& value) {
    return fsetxattr(fd.get(), name, value.data(), value.size(), 0);
  }));
  const timespec times[2] = {entry.mtime, entry.mtime};
  if (futimens(fd.get(), times) != 0) return Failed("set times", entry.path);
  return absl::OkStatus();
}

absl::StatusOr<LayerContent> LayerApplier::Finish() {
  cached_fd_.reset();
  for (const LayerEntry& entry : directories_) CRISP_RETURN_IF_ERROR(FinishDirectory(entry));
  CRISP_RETURN_IF_ERROR(ListImplicit());
  return std::move(content_);
}

}  // namespace crisp::storage
