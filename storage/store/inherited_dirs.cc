#include "storage/store/inherited_dirs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/lower.h"
#include "base/safe_path.h"
#include "base/status.h"
#include "storage/oci/digest.h"

namespace crisp::storage {
namespace {

constexpr char kRoot[] = ".";
constexpr size_t kMaxListFile = 64u << 20;
constexpr int kOpenFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? kRoot : path.substr(0, slash);
}

struct Attributes {
  struct stat st {};
  std::map<std::string, std::string> xattrs;
};

absl::StatusOr<std::map<std::string, std::string>> ReadXattrs(int fd, const std::string& path) {
  std::map<std::string, std::string> xattrs;
  std::string names(XATTR_LIST_MAX, '\0');
  const ssize_t size = flistxattr(fd, names.data(), names.size());
  if (size < 0) {
    if (errno == ENOTSUP) return xattrs;
    return ErrnoError(errno, absl::StrCat("list attributes of ", path));
  }
  names.resize(static_cast<size_t>(size));
  for (absl::string_view name : absl::StrSplit(names, '\0', absl::SkipEmpty())) {
    // The attributes that the unpacker lets in; the rest belong to overlayfs and the security
    // modules.
    if (!absl::StartsWith(name, "user.") && !absl::StartsWith(name, "system.posix_acl_")) continue;
    std::string value(XATTR_SIZE_MAX, '\0');
    const ssize_t n = fgetxattr(fd, std::string(name).c_str(), value.data(), value.size());
    if (n < 0) return ErrnoError(errno, absl::StrCat("read ", name, " of ", path));
    value.resize(static_cast<size_t>(n));
    xattrs[std::string(name)] = std::move(value);
  }
  return xattrs;
}

absl::StatusOr<Attributes> ReadAttributes(int layer, const std::string& path) {
  CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, OpenInRoot(layer, path, kOpenFlags));
  Attributes attributes;
  if (fstat(fd.get(), &attributes.st) != 0) return ErrnoError(errno, absl::StrCat("stat ", path));
  CRISP_ASSIGN_OR_RETURN(attributes.xattrs, ReadXattrs(fd.get(), path));
  return attributes;
}

absl::Status SetAttributes(int fd, const std::string& path, const Attributes& attributes) {
  const struct stat& st = attributes.st;
  if (fchown(fd, st.st_uid, st.st_gid) != 0) return ErrnoError(errno, absl::StrCat("chown ", path));
  if (fchmod(fd, st.st_mode & 07777) != 0) return ErrnoError(errno, absl::StrCat("chmod ", path));
  for (const auto& [name, value] : attributes.xattrs) {
    if (fsetxattr(fd, name.c_str(), value.data(), value.size(), 0) != 0) {
      return ErrnoError(errno, absl::StrCat("set ", name, " of ", path));
    }
  }
  const timespec times[2] = {st.st_mtim, st.st_mtim};
  if (futimens(fd, times) != 0) return ErrnoError(errno, absl::StrCat("set times of ", path));
  return absl::OkStatus();
}

absl::StatusOr<bool> IsOpaque(int layer, const std::string& path) {
  CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, OpenInRoot(layer, path, kOpenFlags));
  char value = 0;
  return fgetxattr(fd.get(), "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

}  // namespace

InheritedDirs::InheritedDirs(std::vector<Layer> layers) {
  std::set<std::string> seen;
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    if (seen.insert(PathOf(layer->root)).second) layers_.push_back(std::move(*layer));
  }
}

absl::Status InheritedDirs::Find() {
  for (const Layer& layer : layers_) {
    CRISP_ASSIGN_OR_RETURN(UniqueFd fd, OpenLower(layer.root, O_RDONLY));
    open_.push_back({.fd = std::move(fd),
                     .implicit = {layer.implicit_dirs.begin(), layer.implicit_dirs.end()},
                     .whiteouts = {layer.whiteout_dirs.begin(), layer.whiteout_dirs.end()}});
  }
  for (const Layer& layer : layers_) {
    for (const std::string& path : layer.implicit_dirs) {
      CRISP_ASSIGN_OR_RETURN(const bool wanted, IsWanted(path));
      if (wanted) Want(path);
    }
    for (const std::string& path : layer.whiteout_dirs) {
      CRISP_ASSIGN_OR_RETURN(const bool wanted, ShowsWhiteouts(path));
      if (wanted) Want(path);
    }
  }
  return absl::OkStatus();
}

void InheritedDirs::Want(std::string path) {
  while (wanted_.insert(path).second && path != kRoot) path = ParentOf(path);
}

// The layers whose directory `path` is part of what the chain shows there, topmost first.
absl::StatusOr<std::vector<size_t>> InheritedDirs::Providers(const std::string& path) {
  const auto known = providers_.find(path);
  if (known != providers_.end()) return known->second;
  CRISP_ASSIGN_OR_RETURN(std::vector<size_t> found, FindProviders(path));
  return providers_[path] = std::move(found);
}

absl::StatusOr<std::vector<size_t>> InheritedDirs::FindProviders(const std::string& path) {
  std::vector<size_t> found;
  if (path == kRoot) {
    for (size_t i = 0; i < open_.size(); ++i) {
      found.push_back(i);
      CRISP_ASSIGN_OR_RETURN(const bool opaque, IsOpaque(open_[i].fd.get(), path));
      if (opaque) break;
    }
    return found;
  }
  CRISP_ASSIGN_OR_RETURN(const std::vector<size_t> above, Providers(ParentOf(path)));
  for (const size_t i : above) {
    // Its parents are directories, as the recursion has seen: no symlink is followed.
    struct stat st {};
    if (fstatat(open_[i].fd.get(), path.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;
      return ErrnoError(errno, absl::StrCat("stat ", path, " of ", PathOf(layers_[i].root)));
    }
    // A whiteout or a file hides what is below it.
    if (!S_ISDIR(st.st_mode)) break;
    found.push_back(i);
    CRISP_ASSIGN_OR_RETURN(const bool opaque, IsOpaque(open_[i].fd.get(), path));
    if (opaque) break;
  }
  return found;
}

// The layer that says how the directory is to look. An opaque marker hides what is in the lower
// directories, not what they are: a directory with nothing but the marker in the archive looks as
// before.
absl::StatusOr<size_t> InheritedDirs::Source(const std::string& path) {
  CRISP_ASSIGN_OR_RETURN(const std::vector<size_t> providers, Providers(path));
  if (providers.empty()) return absl::NotFoundError(absl::StrCat(path, ": hidden in this image"));
  std::vector<size_t> below;
  if (path == kRoot) {
    for (size_t i = 0; i < open_.size(); ++i) below.push_back(i);
  } else {
    CRISP_ASSIGN_OR_RETURN(below, Providers(ParentOf(path)));
  }
  for (const size_t i : below) {
    struct stat st {};
    if (fstatat(open_[i].fd.get(), path.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;
      return ErrnoError(errno, absl::StrCat("stat ", path, " of ", PathOf(layers_[i].root)));
    }
    if (!S_ISDIR(st.st_mode)) break;
    if (open_[i].implicit.count(path) == 0) return i;
  }
  return providers.front();
}

absl::StatusOr<bool> InheritedDirs::ShowsWhiteouts(const std::string& path) {
  // A root is always merged, with the container's directory or an empty one.
  if (path == kRoot || wanted_.count(path) > 0) return false;
  CRISP_ASSIGN_OR_RETURN(const std::vector<size_t> providers, Providers(path));
  return providers.size() == 1 && open_[providers.front()].whiteouts.count(path) > 0;
}

absl::StatusOr<bool> InheritedDirs::IsWanted(const std::string& path) {
  if (wanted_.count(path) > 0) return true;
  CRISP_ASSIGN_OR_RETURN(const std::vector<size_t> providers, Providers(path));
  if (providers.empty()) return false;
  CRISP_ASSIGN_OR_RETURN(const size_t source, Source(path));
  if (source == providers.front()) return false;
  if (path != kRoot) return true;
  CRISP_ASSIGN_OR_RETURN(const Attributes shown, ReadAttributes(open_[0].fd.get(), path));
  CRISP_ASSIGN_OR_RETURN(const Attributes meant, ReadAttributes(open_[source].fd.get(), path));
  return shown.st.st_mode != meant.st.st_mode || shown.st.st_uid != meant.st.st_uid ||
         shown.st.st_gid != meant.st.st_gid || shown.xattrs != meant.xattrs;
}

absl::StatusOr<TreeCount> InheritedDirs::Make(int target_fd) {
  // Parents sort before what they hold, and get their attributes after it: a child changes its
  // parent's times, and a default ACL would reach the child.
  for (const std::string& path : wanted_) {
    if (path != kRoot && mkdirat(target_fd, path.c_str(), 0700) != 0) {
      return ErrnoError(errno, absl::StrCat("make inherited directory ", path));
    }
  }
  for (auto path = wanted_.rbegin(); path != wanted_.rend(); ++path) {
    CRISP_ASSIGN_OR_RETURN(const size_t source, Source(*path));
    CRISP_ASSIGN_OR_RETURN(const Attributes attributes,
                           ReadAttributes(open_[source].fd.get(), *path));
    CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, OpenInRoot(target_fd, *path, kOpenFlags));
    CRISP_RETURN_IF_ERROR(SetAttributes(fd.get(), *path, attributes));
  }
  CRISP_ASSIGN_OR_RETURN(TreeCount count, CountTree(target_fd, kRoot));
  --count.inodes;
  return count;
}

std::string InheritedDirsKey(const std::vector<std::string>& diff_ids) {
  return absl::StrCat("directories:", Sha256Digest(absl::StrJoin(diff_ids, " ")));
}

absl::Status WriteDirList(const std::string& path, const std::vector<std::string>& directories) {
  if (directories.empty()) return absl::OkStatus();
  std::string text;
  for (const std::string& directory : directories) text.append(directory).push_back('\0');
  CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, Open(path, O_WRONLY | O_CREAT | O_EXCL, 0600));
  return WriteAll(fd.get(), text, path);
}

absl::StatusOr<std::vector<std::string>> ReadDirList(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxListFile);
  if (absl::IsNotFound(text.status())) return std::vector<std::string>();
  if (!text.ok()) return text.status();
  return std::vector<std::string>(absl::StrSplit(*text, '\0', absl::SkipEmpty()));
}

}  // namespace crisp::storage
