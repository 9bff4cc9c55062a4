#ifndef CRISP_BASE_FILE_H_
#define CRISP_BASE_FILE_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace crisp {

// Whole-file helpers. All are thread-safe; every descriptor is close-on-exec. Errors are
// ErrnoError("<verb> <path>"). `dirfd` parameters accept AT_FDCWD.

constexpr size_t kDefaultReadLimit = 16u << 20;

absl::StatusOr<UniqueFd> OpenAt(int dirfd, const std::string& path, int flags, mode_t mode = 0);
inline absl::StatusOr<UniqueFd> Open(const std::string& path, int flags, mode_t mode = 0);

// Reads to the end. ResourceExhausted if there are more than `limit` bytes.
absl::StatusOr<std::string> ReadFd(int fd,
                                   absl::string_view name,
                                   size_t limit = kDefaultReadLimit);
absl::StatusOr<std::string> ReadFileAt(int dirfd,
                                       const std::string& path,
                                       size_t limit = kDefaultReadLimit);
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit = kDefaultReadLimit);

// Writes all bytes, retrying short writes.
absl::Status WriteAll(int fd, absl::string_view data, absl::string_view name);
// Opens an existing file for writing and hands `data` to it in ONE write(2), as the cgroup and proc
// interfaces require.
absl::Status WriteKernelFileAt(int dirfd, const std::string& path, absl::string_view data);
absl::Status WriteKernelFile(const std::string& path, absl::string_view data);

enum class Durability {
  kNone,  // for tmpfs, and for data that a reboot ends anyway
  kSync,  // file and directory are synced before the call returns
};
// Replaces `path` atomically (temporary sibling, then rename). On failure the old file stands and
// the temporary is gone.
absl::Status AtomicWriteFile(const std::string& path,
                             absl::string_view data,
                             mode_t mode,
                             Durability durability);

// Makes the directory and its parents. Existing directories keep their mode.
absl::Status MakeDirs(const std::string& path, mode_t mode = 0755);

// Removes `name` below `parent_fd` with everything in it. Never follows a symlink and never crosses
// a mount point: FailedPrecondition if something is mounted below, which stays. Absent is OK.
absl::Status RemoveTreeAt(int parent_fd, const std::string& name);
absl::Status RemoveTree(const std::string& path);

// Names in a directory, without "." and "..", unsorted.
absl::StatusOr<std::vector<std::string>> ListDir(const std::string& path);
// The names of directories in it alone. A symlink to a directory is not one.
absl::StatusOr<std::vector<std::string>> ListSubdirs(const std::string& path);

struct TreeUsage {
  uint64_t bytes = 0;  // allocated, st_blocks × 512; hard links counted once
  uint64_t inodes = 0;
};
// Measures the space that a tree occupies. Stays on one file system and follows no symlink. Entries
// that vanish while it walks are ignored.
absl::StatusOr<TreeUsage> MeasureTree(const std::string& path);

inline absl::StatusOr<UniqueFd> Open(const std::string& path, int flags, mode_t mode) {
  return OpenAt(-100 /* AT_FDCWD */, path, flags, mode);
}

}  // namespace crisp

#endif  // CRISP_BASE_FILE_H_
