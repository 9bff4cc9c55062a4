// Labels files. It needs no library of SELinux's, because crisp-paths does it.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/safe_path.h"
#include "base/status.h"
#include "runtime/lsm/selinux.h"

namespace crisp::runtime {
namespace {

constexpr char kAttribute[] = "security.selinux";
constexpr size_t kMaxDepth = 1000;  // directories within one another; each holds a descriptor

// Directories that belong to the system as a whole, not to one service. A folder in them may well
// be a volume: /var/lib/x, /srv/data.
constexpr absl::string_view kSystemPaths[] = {
    "/",      "/bin",       "/boot",    "/dev",     "/etc",     "/home",      "/lib",
    "/lib32", "/lib64",     "/libx32",  "/media",   "/mnt",     "/opt",       "/proc",
    "/root",  "/run",       "/sbin",    "/srv",     "/sys",     "/tmp",       "/usr",
    "/var",   "/var/cache", "/var/lib", "/var/log", "/var/run", "/var/spool", "/var/tmp"};
// Not even a part of these is a volume of its own.
constexpr absl::string_view kSystemTrees[] = {"/bin",  "/boot", "/lib", "/lib64", "/proc",
                                              "/sbin", "/sys",  "/usr", "/dev"};
constexpr absl::string_view kSystemFiles[] = {"/etc/passwd",  "/etc/group", "/etc/shadow",
                                              "/etc/gshadow", "/etc/pki",   "/etc/ssl",
                                              "/etc/selinux"};

bool IsOrIsBelow(absl::string_view path, absl::string_view tree) {
  return path.substr(0, tree.size()) == tree &&
         (path.size() == tree.size() || path[tree.size()] == '/');
}

// Through /proc: xattr calls take no O_PATH descriptor.
std::string FdPath(int fd) { return absl::StrCat("/proc/self/fd/", fd); }

// OK too where the file system keeps no labels.
absl::Status LabelFd(int fd, const std::string& label, absl::string_view name) {
  const std::string path = FdPath(fd);
  char now[1024];
  const ssize_t size = ::getxattr(path.c_str(), kAttribute, now, sizeof(now));
  // The kernel counts the NUL, a file system may not.
  if (size >= 0 && absl::string_view(now, ::strnlen(now, static_cast<size_t>(size))) == label) {
    return absl::OkStatus();
  }
  if (::setxattr(path.c_str(), kAttribute, label.c_str(), label.size() + 1, 0) == 0)
    return absl::OkStatus();
  if (errno == ENOTSUP) return absl::OkStatus();
  return ErrnoError(errno, absl::StrCat("selinux: label ", name, " ", label));
}

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using Dir = std::unique_ptr<DIR, DirCloser>;

absl::StatusOr<Dir> ReadDirectory(int parent, const char* name, absl::string_view shown) {
  const int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, absl::StrCat("selinux: open ", shown));
  DIR* const dir = ::fdopendir(fd);
  if (dir == nullptr) {
    const int error = errno;
    ::close(fd);
    return ErrnoError(error, absl::StrCat("selinux: read ", shown));
  }
  return Dir(dir);
}

// The system's directories by what they are: a bind mount gives them another name.
class SystemDirectories {
 public:
  SystemDirectories() {
    for (const absl::string_view path : kSystemPaths) {
      struct stat st {};
      if (::stat(std::string(path).c_str(), &st) == 0)
        known_.push_back({st.st_dev, st.st_ino, path});
    }
  }
  absl::Status CheckIsNone(const struct stat& st, absl::string_view shown) const {
    for (const Directory& directory : known_) {
      if (directory.device != st.st_dev || directory.inode != st.st_ino) continue;
      return absl::InvalidArgumentError(absl::StrCat("selinux: ", shown, " is the system's ",
                                                     directory.path,
                                                     " and is not relabelled for a container"));
    }
    return absl::OkStatus();
  }

 private:
  struct Directory {
    dev_t device;
    ino_t inode;
    absl::string_view path;
  };
  std::vector<Directory> known_;
};

// The kernel's own file systems have no room for anything.
bool HoldsFiles(int fd) {
  struct statfs info {};
  return ::fstatfs(fd, &info) == 0 && info.f_blocks > 0;
}

class Relabeler {
 public:
  Relabeler(std::string root, const std::string& label) : root_(std::move(root)), label_(label) {}

  absl::Status Run() {
    CRISP_ASSIGN_OR_RETURN(const UniqueFd top, Open(root_, O_PATH | O_NOFOLLOW));
    struct stat st {};
    if (::fstat(top.get(), &st) != 0)
      return ErrnoError(errno, absl::StrCat("selinux: stat ", root_));
    device_ = st.st_dev;
    CRISP_RETURN_IF_ERROR(system_.CheckIsNone(st, root_));
    CRISP_RETURN_IF_ERROR(LabelFd(top.get(), label_, root_));
    if (!S_ISDIR(st.st_mode)) return absl::OkStatus();
    // By the descriptor, so that it is the one that was looked at.
    CRISP_ASSIGN_OR_RETURN(Dir dir, ReadDirectory(top.get(), ".", root_));
    stack_.push_back(std::move(dir));
    while (!stack_.empty()) CRISP_RETURN_IF_ERROR(Step());
    return absl::OkStatus();
  }

 private:
  // The next entry of the innermost directory.
  absl::Status Step() {
    DIR* const dir = stack_.back().get();
    errno = 0;
    const dirent* const entry = ::readdir(dir);
    if (entry == nullptr) {
      if (errno != 0)
        return ErrnoError(errno, absl::StrCat("selinux: read a directory in ", root_));
      stack_.pop_back();
      return absl::OkStatus();
    }
    const absl::string_view name = entry->d_name;
    if (name == "." || name == "..") return absl::OkStatus();
    return Visit(::dirfd(dir), entry->d_name);
  }

  absl::Status Visit(int parent, const char* name) {
    const std::string shown = absl::StrCat(root_, "/…/", name);
    const UniqueFd fd(::openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat st {};
    if (!fd.valid() || ::fstat(fd.get(), &st) != 0) {
      // Gone since it was listed.
      return errno == ENOENT ? absl::OkStatus()
                             : ErrnoError(errno, absl::StrCat("selinux: open ", shown));
    }
    if (st.st_dev != device_) {
      if (!HoldsFiles(fd.get())) return absl::OkStatus();
      device_ = st.st_dev;
    }
    CRISP_RETURN_IF_ERROR(system_.CheckIsNone(st, shown));
    CRISP_RETURN_IF_ERROR(LabelFd(fd.get(), label_, shown));
    if (!S_ISDIR(st.st_mode)) return absl::OkStatus();
    if (stack_.size() >= kMaxDepth) {
      return absl::InvalidArgumentError(
          absl::StrCat("selinux: directories nest too deeply in ", root_));
    }
    CRISP_ASSIGN_OR_RETURN(Dir dir, ReadDirectory(fd.get(), ".", shown));
    stack_.push_back(std::move(dir));
    return absl::OkStatus();
  }

  const std::string root_;
  const std::string& label_;
  const SystemDirectories system_;
  dev_t device_ = 0;  // of what was labelled last
  std::vector<Dir> stack_;
};

}  // namespace

absl::Status SetSelinuxLabel(const std::string& path, const std::string& label) {
  CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, Open(path, O_PATH | O_NOFOLLOW));
  return LabelFd(fd.get(), label, path);
}

bool IsSystemPath(absl::string_view path) {
  const std::string clean = CleanAbsolutePath(path);
  if (std::find(std::begin(kSystemPaths), std::end(kSystemPaths), clean) != std::end(kSystemPaths))
    return true;
  const auto below = [&clean](absl::string_view tree) { return IsOrIsBelow(clean, tree); };
  return std::any_of(std::begin(kSystemTrees), std::end(kSystemTrees), below) ||
         std::any_of(std::begin(kSystemFiles), std::end(kSystemFiles), below);
}

absl::Status RelabelTree(const std::string& path, const std::string& label) {
  if (IsSystemPath(path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("selinux: ", path, " is the system's and is not relabelled for a container"));
  }
  return Relabeler(CleanAbsolutePath(path), label).Run();
}

}  // namespace crisp::runtime
