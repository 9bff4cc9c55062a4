#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/lower.h"
#include "base/status.h"
#include "runtime/oci/user_lookup.h"

namespace crisp::runtime {
namespace {

constexpr int kMaxSymlinks = 8;
constexpr int kMaxComponents = 64;

// A lookup of one path in a stack of layers as overlayfs would do it. Every component is opened by
// itself, in one layer, without following anything.
class LayeredLookup {
 public:
  explicit LayeredLookup(const std::vector<UniqueFd>& layers) : layers_(layers) {}

  // An open regular file, or an invalid descriptor when there is none at the path.
  absl::StatusOr<UniqueFd> Open(absl::string_view path) {
    std::deque<std::string> rest = absl::StrSplit(path, '/', absl::SkipEmpty());
    std::vector<std::string> walked;
    int symlinks = 0, components = 0;
    while (!rest.empty()) {
      if (++components > kMaxComponents) return UniqueFd();
      std::string name = std::move(rest.front());
      rest.pop_front();
      if (name.empty() || name == ".") continue;
      if (name == "..") {
        if (!walked.empty()) walked.pop_back();
        continue;
      }
      walked.push_back(name);
      CRISP_ASSIGN_OR_RETURN(UniqueFd entry, Find(walked));
      struct stat st;
      if (!entry.valid() || fstat(entry.get(), &st) != 0) return UniqueFd();
      if (S_ISLNK(st.st_mode)) {
        std::string target = Target(entry.get());
        if (++symlinks > kMaxSymlinks || target.empty()) return UniqueFd();
        std::vector<std::string> parts = absl::StrSplit(target, '/', absl::SkipEmpty());
        rest.insert(rest.begin(), parts.begin(), parts.end());
        if (target[0] == '/')
          walked.clear();
        else
          walked.pop_back();
      } else if (rest.empty()) {
        return S_ISREG(st.st_mode) ? Reopen(entry.get()) : absl::StatusOr<UniqueFd>(UniqueFd());
      } else if (!S_ISDIR(st.st_mode)) {
        return UniqueFd();
      }
    }
    return UniqueFd();
  }

 private:
  // The topmost entry of that name, as an O_PATH descriptor; no component of it is a symlink but
  // perhaps the last one.
  absl::StatusOr<UniqueFd> Find(const std::vector<std::string>& walked) {
    for (const UniqueFd& layer : layers_) {
      bool hides_below = false;
      absl::StatusOr<UniqueFd> found = FindInLayer(layer.get(), walked, &hides_below);
      if (!found.ok() || found->valid()) return found;
      if (hides_below) break;
    }
    return UniqueFd();
  }

  absl::StatusOr<UniqueFd> FindInLayer(int layer,
                                       const std::vector<std::string>& walked,
                                       bool* hides_below) {
    UniqueFd current(fcntl(layer, F_DUPFD_CLOEXEC, 0));
    if (!current.valid()) return ErrnoError(errno, "duplicate a layer's descriptor");
    for (size_t i = 0; i < walked.size(); ++i) {
      UniqueFd next(openat(current.get(), walked[i].c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      if (!next.valid()) {
        if (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG) return UniqueFd();
        return ErrnoError(errno, absl::StrCat("open /", absl::StrJoin(walked, "/"), " in a layer"));
      }
      struct stat st;
      if (fstat(next.get(), &st) != 0) return ErrnoError(errno, "stat in a layer");
      const bool last = i + 1 == walked.size();
      // A whiteout, or anything else that is no directory in the middle, hides what is below.
      const bool whiteout = S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
      if (whiteout || (!last && !S_ISDIR(st.st_mode))) {
        *hides_below = true;
        return UniqueFd();
      }
      if (!last && IsOpaque(next.get())) *hides_below = true;
      current = std::move(next);
    }
    return current;
  }

  static bool IsOpaque(int directory) {
    // getxattr() through /proc: an O_PATH descriptor has no fgetxattr().
    const std::string path = absl::StrCat("/proc/self/fd/", directory);
    for (const char* name : {"trusted.overlay.opaque", "user.overlay.opaque"}) {
      char value = 0;
      if (getxattr(path.c_str(), name, &value, 1) == 1 && (value == 'y' || value == 'x')) {
        return value == 'y';
      }
    }
    return false;
  }

  static std::string Target(int symlink) {
    std::string target(4096, '\0');
    ssize_t size = readlinkat(symlink, "", target.data(), target.size());
    target.resize(size > 0 ? static_cast<size_t>(size) : 0);
    return target;
  }

  static absl::StatusOr<UniqueFd> Reopen(int path_fd) {
    UniqueFd fd(open(absl::StrCat("/proc/self/fd/", path_fd).c_str(),
                     O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!fd.valid()) return ErrnoError(errno, "open an account file");
    return fd;
  }

  const std::vector<UniqueFd>& layers_;
};

absl::StatusOr<std::string> ReadPrefix(int fd) {
  // No more than the file has: filling a megabyte with zeros would cost more than all the rest.
  struct stat st;
  if (fstat(fd, &st) != 0) return ErrnoError(errno, "stat an account file");
  std::string text(std::min(static_cast<size_t>(st.st_size), kMaxAccountFile) + 1, '\0');
  size_t size = 0;
  while (size < text.size()) {
    ssize_t got = pread(fd, text.data() + size, text.size() - size, static_cast<off_t>(size));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, "read an account file");
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  text.resize(size);
  if (size > kMaxAccountFile) {
    // Half a line must not be taken for a whole one.
    const size_t newline = text.rfind('\n', kMaxAccountFile - 1);
    text.resize(newline == std::string::npos ? 0 : newline + 1);
  }
  text.shrink_to_fit();
  return text;
}

}  // namespace

absl::StatusOr<AccountFiles> ReadAccountFiles(const std::vector<Lower>& layers_topmost_first) {
  std::vector<UniqueFd> layers;
  for (const Lower& lower : layers_topmost_first) {
    CRISP_ASSIGN_OR_RETURN(UniqueFd layer, OpenLower(lower, O_PATH));
    layers.push_back(std::move(layer));
  }
  AccountFiles files;
  for (auto& [path, text] : {std::pair<const char*, std::string*>{"/etc/passwd", &files.passwd},
                             std::pair<const char*, std::string*>{"/etc/group", &files.group}}) {
    CRISP_ASSIGN_OR_RETURN(UniqueFd fd, LayeredLookup(layers).Open(path));
    if (!fd.valid()) continue;
    CRISP_ASSIGN_OR_RETURN(*text, ReadPrefix(fd.get()));
  }
  return files;
}

}  // namespace crisp::runtime
