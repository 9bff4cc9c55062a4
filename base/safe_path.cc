#include "base/safe_path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace crisp {
namespace {

int OpenAt2(int dirfd, const char* path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.mode = mode;
  how.resolve = resolve;
  long fd;
  // EAGAIN: the tree was renamed under a scoped lookup (openat2(2)); the caller may simply retry.
  int tries = 0;
  do {
    fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
  } while (fd < 0 && (errno == EINTR || (errno == EAGAIN && ++tries < 64)));
  return static_cast<int>(fd);
}

constexpr uint64_t kInRoot = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

}  // namespace

absl::StatusOr<UniqueFd> OpenInRoot(int root_fd, const std::string& path, int flags, mode_t mode) {
  const uint64_t create_mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  const int fd = OpenAt2(root_fd, path.c_str(), static_cast<uint64_t>(static_cast<unsigned>(flags)),
                         create_mode, kInRoot);
  if (fd < 0) return ErrnoError(errno, absl::StrCat("open ", path, " in root"));
  return UniqueFd(fd);
}

absl::StatusOr<UniqueFd> MakeDirsInRoot(int root_fd, absl::string_view path, mode_t mode) {
  std::string done = "/";
  CRISP_ASSIGN_OR_RETURN(UniqueFd current, OpenInRoot(root_fd, "/", O_PATH | O_DIRECTORY));
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    absl::StrAppend(&done, done.size() > 1 ? "/" : "", part);
    absl::StatusOr<UniqueFd> next = OpenInRoot(root_fd, done, O_PATH | O_DIRECTORY);
    if (!next.ok() && ErrnoOf(next.status()) == ENOENT) {
      // A dangling symlink also answers ENOENT; mkdirat then says EEXIST and the second open fails.
      if (mkdirat(current.get(), std::string(part).c_str(), mode) != 0 && errno != EEXIST) {
        return ErrnoError(errno, absl::StrCat("mkdir ", done, " in root"));
      }
      next = OpenInRoot(root_fd, done, O_PATH | O_DIRECTORY);
    }
    if (!next.ok()) return next.status();
    current = *std::move(next);
  }
  return current;
}

absl::StatusOr<UniqueFd> EnsureFileInRoot(int root_fd, absl::string_view path, mode_t mode) {
  const std::string clean = CleanAbsolutePath(path);
  absl::StatusOr<UniqueFd> existing = OpenInRoot(root_fd, clean, O_PATH);
  if (existing.ok() || ErrnoOf(existing.status()) != ENOENT) return existing;
  const size_t slash = clean.rfind('/');
  CRISP_ASSIGN_OR_RETURN(UniqueFd parent, MakeDirsInRoot(root_fd, clean.substr(0, slash)));
  const std::string name = clean.substr(slash + 1);
  UniqueFd created(openat(parent.get(), name.c_str(),
                          O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!created && errno != EEXIST) return ErrnoError(errno, absl::StrCat("create ", clean));
  return OpenInRoot(root_fd, clean, O_PATH);
}

std::string CleanAbsolutePath(absl::string_view path) {
  std::vector<absl::string_view> parts;
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
      continue;
    }
    parts.push_back(part);
  }
  return absl::StrCat("/", absl::StrJoin(parts, "/"));
}

}  // namespace crisp
