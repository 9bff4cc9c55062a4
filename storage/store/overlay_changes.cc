#include "storage/store/overlay_changes.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"

namespace crisp::storage {
namespace {

using Names = std::set<std::string>;
using Dirs = std::vector<UniqueFd>;  // the topmost first

constexpr int kDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

bool IsWhiteout(const struct stat& st) {
  return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
}

bool IsOpaque(int directory) {
  char value = 0;
  return fgetxattr(directory, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

// A directory that was renamed lies on another one than its name says.
bool IsRedirected(int directory) {
  return fgetxattr(directory, "trusted.overlay.redirect", nullptr, 0) > 0;
}

bool IsGone(int error) { return error == ENOENT || error == ENOTDIR || error == ELOOP; }

// What the image has under a name.
struct InImage {
  bool there = false;
  Dirs directories;  // those that the overlay merges under that name; empty for another file
};

absl::StatusOr<InImage> Find(const Dirs& lowers, const std::string& name) {
  InImage found;
  for (const UniqueFd& lower : lowers) {
    struct stat st {};
    if (fstatat(lower.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
      if (IsGone(errno)) continue;
      return ErrnoError(errno, "look into a layer");
    }
    // A layer's file ends what is merged, and a file below a directory is hidden.
    if (IsWhiteout(st)) return found;
    if (!S_ISDIR(st.st_mode)) {
      found.there = true;
      return found;
    }
    CRISP_ASSIGN_OR_RETURN(UniqueFd directory, OpenAt(lower.get(), name, kDirectory));
    const bool opaque = IsOpaque(directory.get());
    found.there = true;
    found.directories.push_back(std::move(directory));
    if (opaque) return found;
  }
  return found;
}

// Goes through an upper directory and those below it.
class Walk {
 public:
  Walk(const ChangeLimits& limits, const Operation& operation)
      : limits_(limits), operation_(operation) {}

  // `path` ends with a slash. `lowers` are what the directory lies on. With `hides` it hides them,
  // so that what it lacks is deleted.
  absl::Status Visit(
      int upper, const Dirs& lowers, const std::string& path, bool hides, int depth) {
    CRISP_RETURN_IF_ERROR(operation_.Check("list a container's changes"));
    Names names;
    CRISP_RETURN_IF_ERROR(AddNames(upper, names));
    if (hides) {
      for (const UniqueFd& lower : lowers) CRISP_RETURN_IF_ERROR(AddNames(lower.get(), names));
    }
    for (const std::string& name : names) {
      if (full_) return absl::OkStatus();
      CRISP_RETURN_IF_ERROR(Compare(upper, lowers, path, name, hides, depth));
    }
    changes_.truncated |= names.size() > limits_.paths;
    return absl::OkStatus();
  }
  Changes Take() { return std::move(changes_); }

 private:
  absl::Status Compare(int upper,
                       const Dirs& lowers,
                       const std::string& path,
                       const std::string& name,
                       bool hides,
                       int depth) {
    CRISP_ASSIGN_OR_RETURN(const InImage image, Find(lowers, name));
    struct stat st {};
    const bool there = fstatat(upper, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (!there && !IsGone(errno)) return ErrnoError(errno, "look into a writable layer");
    if (!there || IsWhiteout(st)) {
      // Without `hides` it has gone since the directory was read.
      if (image.there && (there || hides)) Add(path + name, Change::Kind::kDeleted);
      return absl::OkStatus();
    }
    Add(path + name, image.there ? Change::Kind::kChanged : Change::Kind::kAdded);
    if (!S_ISDIR(st.st_mode)) return absl::OkStatus();
    if (depth >= limits_.depth) {
      changes_.truncated = true;
      return absl::OkStatus();
    }
    const absl::StatusOr<UniqueFd> directory = OpenAt(upper, name, kDirectory);
    if (!directory.ok())
      return IsGone(ErrnoOf(directory.status())) ? absl::OkStatus() : directory.status();
    const int fd = directory->get();
    const Dirs none;
    return Visit(fd, IsRedirected(fd) ? none : image.directories, absl::StrCat(path, name, "/"),
                 hides || IsOpaque(fd), depth + 1);
  }

  void Add(std::string path, Change::Kind kind) {
    if (changes_.list.size() == limits_.paths || bytes_ + path.size() > limits_.bytes) {
      full_ = changes_.truncated = true;
      return;
    }
    bytes_ += path.size();
    changes_.list.push_back({.path = std::move(path), .kind = kind});
  }

  // More names than can be listed are not kept: the list ends in this directory.
  absl::Status AddNames(int directory, Names& names) {
    CRISP_ASSIGN_OR_RETURN(UniqueFd own, OpenAt(directory, ".", kDirectory));
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(own.get()), &closedir);
    if (stream == nullptr) return ErrnoError(errno, "read a directory");
    (void)own.release();
    while (true) {
      errno = 0;
      const dirent* const entry = readdir(stream.get());
      if (entry == nullptr) {
        return errno == 0 ? absl::OkStatus() : ErrnoError(errno, "read a directory");
      }
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      names.insert(name);
      if (names.size() > limits_.paths) return absl::OkStatus();
    }
  }

  const ChangeLimits& limits_;
  const Operation& operation_;
  Changes changes_;
  size_t bytes_ = 0;
  bool full_ = false;
};

}  // namespace

absl::StatusOr<Changes> ListChanges(const std::string& upper,
                                    const std::vector<Lower>& lowers,
                                    const ChangeLimits& limits,
                                    const Operation& operation) {
  Dirs roots;
  for (const Lower& lower : lowers) {
    CRISP_ASSIGN_OR_RETURN(UniqueFd root, OpenLower(lower, O_RDONLY));
    roots.push_back(std::move(root));
  }
  CRISP_ASSIGN_OR_RETURN(const UniqueFd root, Open(upper, kDirectory));
  Walk walk(limits, operation);
  CRISP_RETURN_IF_ERROR(walk.Visit(root.get(), roots, "/", /*hides=*/false, 0));
  return walk.Take();
}

}  // namespace crisp::storage
