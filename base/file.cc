#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp {
namespace {

struct DirCloser {
  void operator()(DIR* dir) const { closedir(dir); }
};
using UniqueDir = std::unique_ptr<DIR, DirCloser>;

// Takes the descriptor.
UniqueDir DirFromFd(UniqueFd fd) {
  DIR* dir = fdopendir(fd.get());
  if (dir != nullptr) (void)fd.release();
  return UniqueDir(dir);
}

bool IsDots(const char* name) {
  return absl::string_view(name) == "." || absl::string_view(name) == "..";
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::Status SyncDir(const std::string& path) {
  CRISP_ASSIGN_OR_RETURN(UniqueFd dir, Open(path, O_RDONLY | O_DIRECTORY));
  if (fsync(dir.get()) != 0) return ErrnoError(errno, absl::StrCat("sync ", path));
  return absl::OkStatus();
}

// Depth is bounded by the file system's own path limits only through descriptors, so each level
// holds one; 4,000 levels is far beyond what a container can make without exhausting ours.
constexpr int kMaxTreeDepth = 4000;

absl::Status RemoveEntries(UniqueFd dir_fd, dev_t device, int depth, const std::string& name) {
  if (depth > kMaxTreeDepth) {
    return absl::ResourceExhaustedError(absl::StrCat("remove ", name, ": nested too deep"));
  }
  UniqueDir dir = DirFromFd(std::move(dir_fd));
  if (dir == nullptr) return ErrnoError(errno, absl::StrCat("list ", name));
  const int fd = dirfd(dir.get());
  while (const dirent* entry = readdir(dir.get())) {
    if (IsDots(entry->d_name)) continue;
    if (entry->d_type != DT_DIR && unlinkat(fd, entry->d_name, 0) == 0) continue;
    UniqueFd child(openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child) {
      if (errno == ENOENT) continue;
      if ((errno == ENOTDIR || errno == ELOOP) && unlinkat(fd, entry->d_name, 0) == 0) continue;
      return ErrnoError(errno, absl::StrCat("remove ", name, "/", entry->d_name));
    }
    struct stat st {};
    if (fstat(child.get(), &st) != 0) return ErrnoError(errno, absl::StrCat("stat ", name));
    if (st.st_dev != device) {
      return absl::FailedPreconditionError(
          absl::StrCat("remove ", name, "/", entry->d_name, ": something is mounted there"));
    }
    CRISP_RETURN_IF_ERROR(
        RemoveEntries(std::move(child), device, depth + 1, absl::StrCat(name, "/", entry->d_name)));
    if (unlinkat(fd, entry->d_name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
      return ErrnoError(errno, absl::StrCat("remove ", name, "/", entry->d_name));
    }
  }
  return absl::OkStatus();
}

template <class Wanted>
absl::StatusOr<std::vector<std::string>> ListThose(const std::string& path, const Wanted& wanted) {
  UniqueDir dir(opendir(path.c_str()));
  if (dir == nullptr) return ErrnoError(errno, absl::StrCat("list ", path));
  std::vector<std::string> names;
  while (const dirent* entry = readdir(dir.get())) {
    if (!IsDots(entry->d_name) && wanted(*entry)) names.emplace_back(entry->d_name);
  }
  return names;
}

using LinkSet = std::set<std::pair<dev_t, ino_t>>;

void MeasureDir(UniqueFd dir_fd, dev_t device, int depth, LinkSet& seen, TreeUsage& usage) {
  if (depth > kMaxTreeDepth) return;
  UniqueDir dir = DirFromFd(std::move(dir_fd));
  if (dir == nullptr) return;
  while (const dirent* entry = readdir(dir.get())) {
    if (IsDots(entry->d_name)) continue;
    struct stat st {};
    if (fstatat(dirfd(dir.get()), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (st.st_dev != device) continue;
    if (st.st_nlink > 1 && !S_ISDIR(st.st_mode) && !seen.insert({st.st_dev, st.st_ino}).second) {
      continue;
    }
    usage.bytes += static_cast<uint64_t>(st.st_blocks) * 512;
    ++usage.inodes;
    if (!S_ISDIR(st.st_mode)) continue;
    UniqueFd child(
        openat(dirfd(dir.get()), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (child) MeasureDir(std::move(child), device, depth + 1, seen, usage);
  }
}

}  // namespace

absl::StatusOr<UniqueFd> OpenAt(int dirfd, const std::string& path, int flags, mode_t mode) {
  int fd;
  do {
    fd = openat(dirfd, path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return ErrnoError(errno, absl::StrCat("open ", path));
  return UniqueFd(fd);
}

absl::StatusOr<std::string> ReadFd(int fd, absl::string_view name, size_t limit) {
  std::string data;
  char buffer[16384];
  while (true) {
    const ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, absl::StrCat("read ", name));
    if (n == 0) return data;
    if (data.size() + static_cast<size_t>(n) > limit) {
      return absl::ResourceExhaustedError(
          absl::StrCat("read ", name, ": larger than ", limit, " bytes"));
    }
    data.append(buffer, static_cast<size_t>(n));
  }
}

absl::StatusOr<std::string> ReadFileAt(int dirfd, const std::string& path, size_t limit) {
  CRISP_ASSIGN_OR_RETURN(UniqueFd fd, OpenAt(dirfd, path, O_RDONLY));
  return ReadFd(fd.get(), path, limit);
}

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit) {
  return ReadFileAt(AT_FDCWD, path, limit);
}

absl::Status WriteAll(int fd, absl::string_view data, absl::string_view name) {
  while (!data.empty()) {
    const ssize_t n = write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, absl::StrCat("write ", name));
    data.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status WriteKernelFileAt(int dirfd, const std::string& path, absl::string_view data) {
  CRISP_ASSIGN_OR_RETURN(UniqueFd fd, OpenAt(dirfd, path, O_WRONLY));
  ssize_t n;
  do {
    n = write(fd.get(), data.data(), data.size());
  } while (n < 0 && errno == EINTR);
  if (n < 0) return ErrnoError(errno, absl::StrCat("write '", data.substr(0, 80), "' to ", path));
  return absl::OkStatus();
}

absl::Status WriteKernelFile(const std::string& path, absl::string_view data) {
  return WriteKernelFileAt(AT_FDCWD, path, data);
}

absl::Status AtomicWriteFile(const std::string& path,
                             absl::string_view data,
                             mode_t mode,
                             Durability durability) {
  const std::string temporary = absl::StrCat(path, ".tmp.", getpid(), ".", gettid());
  CRISP_ASSIGN_OR_RETURN(UniqueFd fd, Open(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode));
  absl::Status status = WriteAll(fd.get(), data, temporary);
  if (status.ok() && fchmod(fd.get(), mode) != 0) {
    status = ErrnoError(errno, absl::StrCat("chmod ", temporary));
  }
  if (status.ok() && durability == Durability::kSync && fsync(fd.get()) != 0) {
    status = ErrnoError(errno, absl::StrCat("sync ", temporary));
  }
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
    status = ErrnoError(errno, absl::StrCat("rename to ", path));
  }
  if (!status.ok()) {
    (void)unlink(temporary.c_str());
    return status;
  }
  return durability == Durability::kSync ? SyncDir(ParentOf(path)) : absl::OkStatus();
}

absl::Status MakeDirs(const std::string& path, mode_t mode) {
  if (path.empty() || mkdir(path.c_str(), mode) == 0) return absl::OkStatus();
  if (errno == EEXIST) {
    struct stat st {};
    if (stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) return absl::OkStatus();
    return ErrnoError(ENOTDIR, absl::StrCat("mkdir ", path));
  }
  if (errno != ENOENT) return ErrnoError(errno, absl::StrCat("mkdir ", path));
  CRISP_RETURN_IF_ERROR(MakeDirs(ParentOf(path), mode));
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    return ErrnoError(errno, absl::StrCat("mkdir ", path));
  }
  return absl::OkStatus();
}

absl::Status RemoveTreeAt(int parent_fd, const std::string& name) {
  if (unlinkat(parent_fd, name.c_str(), 0) == 0 || errno == ENOENT) return absl::OkStatus();
  UniqueFd dir(openat(parent_fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!dir) return ErrnoError(errno, absl::StrCat("remove ", name));
  struct stat st {};
  if (fstat(dir.get(), &st) != 0) return ErrnoError(errno, absl::StrCat("stat ", name));
  CRISP_RETURN_IF_ERROR(RemoveEntries(std::move(dir), st.st_dev, 0, name));
  if (unlinkat(parent_fd, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return ErrnoError(errno, absl::StrCat("remove ", name));
  }
  return absl::OkStatus();
}

absl::Status RemoveTree(const std::string& path) { return RemoveTreeAt(AT_FDCWD, path); }

absl::StatusOr<std::vector<std::string>> ListDir(const std::string& path) {
  return ListThose(path, [](const dirent&) { return true; });
}

absl::StatusOr<std::vector<std::string>> ListSubdirs(const std::string& path) {
  return ListThose(path, [&path](const dirent& entry) {
    if (entry.d_type != DT_UNKNOWN) return entry.d_type == DT_DIR;
    struct stat st {};
    return lstat(absl::StrCat(path, "/", entry.d_name).c_str(), &st) == 0 && S_ISDIR(st.st_mode);
  });
}

absl::StatusOr<TreeUsage> MeasureTree(const std::string& path) {
  CRISP_ASSIGN_OR_RETURN(UniqueFd dir, Open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  struct stat st {};
  if (fstat(dir.get(), &st) != 0) return ErrnoError(errno, absl::StrCat("stat ", path));
  TreeUsage usage{.bytes = static_cast<uint64_t>(st.st_blocks) * 512, .inodes = 1};
  LinkSet seen;
  MeasureDir(std::move(dir), st.st_dev, 0, seen, usage);
  return usage;
}

}  // namespace crisp
