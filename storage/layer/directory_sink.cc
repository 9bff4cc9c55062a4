#include "storage/layer/directory_sink.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/status.h"
#include "storage/layer/tree_walk.h"

namespace crisp::storage {
namespace {

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

absl::Status Failed(absl::string_view verb, absl::string_view path) {
  const int error = errno;
  return ErrnoError(error, absl::StrCat("layer entry '", ShownName(path), "': ", verb,
                                        error == ENOSPC ? " (df shows bytes, df -i inodes)" : ""));
}

// A file system without some kind of attribute does not make the image unusable, as in containerd.
template <typename Set>
absl::Status SetXattrs(const LayerEntry& entry, const Set& set) {
  for (const auto& [name, value] : entry.xattrs) {
    if (!IsAllowedXattr(name)) continue;
    if (set(name.c_str(), value) != 0 && errno != ENOTSUP && errno != EPERM) {
      return Failed(absl::StrCat("set ", name), entry.path);
    }
  }
  return absl::OkStatus();
}

std::string LinkTo(const LayerEntry& entry) {
  return absl::StrCat("hard link to '", ShownName(entry.target),
                      "', which must be in the same layer");
}

bool HasSpecialBits(mode_t mode) { return (mode & (S_ISUID | S_ISGID)) != 0; }

}  // namespace

absl::StatusOr<int> DirectorySink::Parent(const std::string& path) {
  if (path.empty()) return root_;
  if (!cached_fd_ || cached_parent_ != path) {
    CRISP_ASSIGN_OR_RETURN(cached_fd_, OpenParent(path));
    cached_parent_ = path;
  }
  return cached_fd_.get();
}

absl::StatusOr<UniqueFd> DirectorySink::OpenParent(const std::string& path) {
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
absl::Status DirectorySink::MakeParents(const std::string& path) {
  std::string done;
  UniqueFd current(OpenAt2(root_, "", O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT));
  if (!current) return Failed("open root", path);
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    const LayerName name{.parent = done, .base = std::string(part)};
    absl::StrAppend(&done, done.empty() ? "" : "/", part);
    UniqueFd next(OpenAt2(root_, done, O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT));
    if (!next) {
      // ELOOP and a dangling symlink end here too: like any non-directory they are replaced.
      if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP) return Failed("open", done);
      CRISP_RETURN_IF_ERROR(Clear(current.get(), name, OldDirectory::kGoes).status());
      if (mkdirat(current.get(), name.base.c_str(), 0755) != 0) return Failed("mkdir", done);
      ++content_.inodes;
      content_.disk_bytes += kBlock;
      CRISP_ASSIGN_OR_RETURN(const bool fresh, ReplaceWhiteout(done));
      CRISP_RETURN_IF_ERROR(NoteDirectory(current.get(), name.base, fresh ? nullptr : &done));
      next.reset(OpenAt2(root_, done, O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT));
      if (!next) return Failed("open", done);
      CRISP_RETURN_IF_ERROR(CheckDepth(next.get(), done));
    }
    current = std::move(next);
  }
  return absl::OkStatus();
}

// Through symlinks a tree could be made deeper than any path says, too deep to be removed again.
absl::Status DirectorySink::CheckDepth(int dir_fd, absl::string_view path) const {
  struct stat root {
  }, here{};
  if (fstat(root_, &root) != 0 || fstat(dir_fd, &here) != 0) return Failed("stat", path);
  UniqueFd up;
  for (int depth = 0; here.st_ino != root.st_ino || here.st_dev != root.st_dev; ++depth) {
    if (depth > limits_.max_depth) return BadEntry(path, "nested too deep");
    UniqueFd next(openat(up ? up.get() : dir_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!next || fstat(next.get(), &here) != 0) return Failed("stat", path);
    up = std::move(next);
  }
  return absl::OkStatus();
}

// Takes what is about to be removed out of the counts.
absl::Status DirectorySink::Forget(int parent, const std::string& base) {
  CRISP_ASSIGN_OR_RETURN(const TreeCount count, CountTree(parent, base));
  content_.inodes -= std::min(content_.inodes, count.inodes);
  content_.bytes -= std::min(content_.bytes, count.bytes);
  content_.disk_bytes -= std::min(content_.disk_bytes, count.disk_bytes);
  return absl::OkStatus();
}

// Makes the name free. True: a directory stands there and was to be kept.
absl::StatusOr<bool> DirectorySink::Clear(int parent,
                                          const LayerName& name,
                                          OldDirectory directory) {
  struct stat st {};
  if (fstatat(parent, name.base.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return false;
    return Failed("stat", name.path());
  }
  if (S_ISDIR(st.st_mode) && directory == OldDirectory::kStays) return true;
  CRISP_RETURN_IF_ERROR(Forget(parent, name.base));
  // The cached parent may be what goes, or may have been reached through it.
  if (S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode)) cached_parent_.clear();
  CRISP_RETURN_IF_ERROR(Annotate(RemoveTreeAt(parent, name.base),
                                 absl::StrCat("layer entry '", ShownName(name.path()), "'")));
  return false;
}

absl::StatusOr<LayerSink::Found> DirectorySink::Look(int parent, const std::string& base) {
  struct stat st {};
  if (fstatat(parent, base.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return Found::kNothing;
  return S_ISDIR(st.st_mode) ? Found::kDirectory : Found::kOther;
}

absl::Status DirectorySink::MakeWhiteout(int parent, const LayerName& name) {
  if (mknodat(parent, name.base.c_str(), S_IFCHR, makedev(0, 0)) != 0) {
    return Failed("make whiteout", name.path());
  }
  return absl::OkStatus();
}

absl::Status DirectorySink::DescribeRoot(const LayerEntry& entry) {
  directories_.push_back(entry);
  directories_.back().path.clear();
  root_described_ = true;
  return absl::OkStatus();
}

// By inode, since symlinks give a directory many names. A number that a removed directory had comes
// back to a later one: whichever was made last counts.
absl::Status DirectorySink::NoteDirectory(int parent,
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

absl::Status DirectorySink::ListImplicit() {
  if (!root_described_) CRISP_RETURN_IF_ERROR(Implicit("."));
  for (const auto& [inode, path] : implicit_) {
    const UniqueFd fd(OpenAt2(root_, path, O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT));
    struct stat st {};
    // Replaced later in the same archive.
    if (!fd || fstat(fd.get(), &st) != 0 || st.st_ino != inode) continue;
    CRISP_RETURN_IF_ERROR(Implicit(path));
  }
  std::sort(content_.implicit_dirs.begin(), content_.implicit_dirs.end());
  return absl::OkStatus();
}

absl::Status DirectorySink::Directory(int parent, const LayerName& name, const LayerEntry& entry) {
  CRISP_ASSIGN_OR_RETURN(const bool there, Clear(parent, name, OldDirectory::kStays));
  if (!there) {
    // Restrictive until the end: default ACLs and setgid bits must not reach the children.
    if (mkdirat(parent, name.base.c_str(), 0700) != 0) return Failed("mkdir", entry.path);
    ++content_.inodes;
    content_.disk_bytes += kBlock;
    CRISP_RETURN_IF_ERROR(ReplaceWhiteout(name.path()).status());
  }
  CRISP_RETURN_IF_ERROR(NoteDirectory(parent, name.base, nullptr));
  directories_.push_back(entry);
  directories_.back().path = name.path();
  return absl::OkStatus();
}

absl::Status DirectorySink::Link(int parent,
                                 const LayerName& name,
                                 const LayerName& target,
                                 const LayerEntry& entry) {
  // The usual case in one step: the target is there and the name is free. `parent` is the cached
  // one.
  const bool beside = target.parent == name.parent;
  UniqueFd opened;
  if (!beside) opened.reset(OpenAt2(root_, target.parent, O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT));
  const int from = beside ? parent : opened.get();
  if (from < 0) return Failed(LinkTo(entry), entry.path);
  // Without AT_SYMLINK_FOLLOW: a link to a symlink is one more name of the symlink.
  if (linkat(from, target.base.c_str(), parent, name.base.c_str(), 0) != 0) {
    return LinkOver(parent, name, entry, from, target.base);
  }
  return absl::OkStatus();
}

// Where something has the name already (a whiteout too), or the target cannot be linked to.
absl::Status DirectorySink::LinkOver(int parent,
                                     const LayerName& name,
                                     const LayerEntry& entry,
                                     int from,
                                     const std::string& target) {
  struct stat st {};
  if (fstatat(from, target.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    return Failed(LinkTo(entry), entry.path);
  }
  if (S_ISDIR(st.st_mode)) return BadEntry(entry.path, "hard link to a directory");
  struct stat own {};
  if (fstatat(parent, name.base.c_str(), &own, AT_SYMLINK_NOFOLLOW) == 0 &&
      own.st_ino == st.st_ino && own.st_dev == st.st_dev) {
    return absl::OkStatus();  // they are one already; clearing the name could lose the only one
  }
  CRISP_RETURN_IF_ERROR(Clear(parent, name, OldDirectory::kGoes).status());
  if (linkat(from, target.c_str(), parent, name.base.c_str(), 0) != 0) {
    return Failed(LinkTo(entry), entry.path);
  }
  return absl::OkStatus();
}

absl::Status DirectorySink::Node(int parent, const LayerName& name, const LayerEntry& entry) {
  CRISP_RETURN_IF_ERROR(Clear(parent, name, OldDirectory::kGoes).status());
  const char* base = name.base.c_str();
  const mode_t mode = entry.mode & 07777;
  int made = -1;
  switch (entry.type) {
    case LayerEntry::Type::kSymlink:
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

absl::Status DirectorySink::File(int parent, const LayerName& name, const LayerEntry& entry) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  file_.reset(openat(parent, name.base.c_str(), kFlags, entry.mode & 0777));
  if (!file_ && errno == EEXIST) {
    CRISP_RETURN_IF_ERROR(Clear(parent, name, OldDirectory::kGoes).status());
    whiteouts_.erase(name.path());
    file_.reset(openat(parent, name.base.c_str(), kFlags, entry.mode & 0777));
  }
  if (!file_) return Failed("create", entry.path);
  file_end_ = 0;
  ++content_.inodes;
  content_.bytes += entry.size;
  content_.disk_bytes += Blocks(entry.size);
  return absl::OkStatus();
}

absl::Status DirectorySink::Write(absl::string_view bytes,
                                  uint64_t offset,
                                  const LayerEntry& entry) {
  if (!bytes.empty()) file_end_ = offset + bytes.size();
  while (!bytes.empty()) {
    const ssize_t n = pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Failed("write", entry.path);
    bytes.remove_prefix(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return absl::OkStatus();
}

// In this order: chown and write clear setuid bits and capabilities, all of them set the times.
absl::Status DirectorySink::FinishFile(const LayerEntry& entry) {
  const UniqueFd file = std::move(file_);
  const int fd = file.get();
  // A hole at the end.
  if (file_end_ < entry.size && ftruncate(fd, static_cast<off_t>(entry.size)) != 0) {
    return Failed("set size", entry.path);
  }
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

absl::Status DirectorySink::FinishDirectory(const LayerEntry& entry) {
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

absl::StatusOr<LayerContent> DirectorySink::Finish() {
  cached_fd_.reset();
  for (const LayerEntry& entry : directories_) CRISP_RETURN_IF_ERROR(FinishDirectory(entry));
  CRISP_RETURN_IF_ERROR(ListImplicit());
  for (const std::string& path : WhiteoutParents()) CRISP_RETURN_IF_ERROR(HasWhiteouts(path));
  return std::move(content_);
}

}  // namespace crisp::storage
