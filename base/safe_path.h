#ifndef CRISP_BASE_SAFE_PATH_H_
#define CRISP_BASE_SAFE_PATH_H_

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace crisp {

// Paths inside a tree whose owner is not trusted (a container's root, an unpacked layer, a volume).
// Resolution is the kernel's: openat2(2) with RESOLVE_IN_ROOT, so ".." and absolute symlinks end at
// `root_fd`, and RESOLVE_NO_MAGICLINKS. All thread-safe.

// Opens `path` as a process chrooted to `root_fd` would. `flags` are those of open(2);
// close-on-exec is added.
absl::StatusOr<UniqueFd> OpenInRoot(int root_fd,
                                    const std::string& path,
                                    int flags,
                                    mode_t mode = 0);

// Makes the directory and its parents inside the root, one component at a time. Follows symlinks
// only within the root. Returns an O_PATH descriptor of the directory.
absl::StatusOr<UniqueFd> MakeDirsInRoot(int root_fd, absl::string_view path, mode_t mode = 0755);

// Makes a regular file at `path`, with its parents, if nothing is there. Returns an O_PATH
// descriptor of it, or of what was there.
absl::StatusOr<UniqueFd> EnsureFileInRoot(int root_fd, absl::string_view path, mode_t mode = 0644);

// Lexical clean-up: one leading '/', no "", "." or ".." components (".." at the root is dropped).
std::string CleanAbsolutePath(absl::string_view path);

}  // namespace crisp

#endif  // CRISP_BASE_SAFE_PATH_H_
