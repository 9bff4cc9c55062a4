#include "storage/layer/tree_walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace crisp::storage {
namespace {

constexpr uint64_t kBlock = 4096;
constexpr int kMaxDepth = 2000;
constexpr uint64_t kCheckEvery = 4096;

class Counter {
 public:
  explicit Counter(const Operation& operation) : operation_(operation) {}

  absl::Status Visit(int parent, const std::string& name, int depth) {
    if (++visited_ % kCheckEvery == 0)
      CRISP_RETURN_IF_ERROR(operation_.Check("count a layer's files"));
    struct stat st {};
    if (fstatat(parent, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoError(errno, absl::StrCat("stat ", name));
    }
    if (depth == 0) device_ = st.st_dev;
    if (st.st_dev != device_) return absl::OkStatus();
    if (S_ISDIR(st.st_mode)) {
      ++count_.inodes;
      count_.disk_bytes += kBlock;
      return List(parent, name, depth);
    }
    if (st.st_nlink > 1 && ++names_[st.st_ino] < st.st_nlink) return absl::OkStatus();
    ++count_.inodes;
    if (!S_ISREG(st.st_mode)) return absl::OkStatus();
    const uint64_t size = static_cast<uint64_t>(st.st_size);
    count_.bytes += size;
    count_.disk_bytes += (size + kBlock - 1) / kBlock * kBlock;
    return absl::OkStatus();
  }

  const TreeCount& count() const { return count_; }

 private:
  absl::Status List(int parent, const std::string& name, int depth) {
    if (depth > kMaxDepth) return absl::ResourceExhaustedError(absl::StrCat(name, ": too deep"));
    UniqueFd fd(openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return ErrnoError(errno, absl::StrCat("open ", name));
    std::unique_ptr<DIR, int (*)(DIR*)> dir(fdopendir(fd.get()), closedir);
    if (dir == nullptr) return ErrnoError(errno, absl::StrCat("list ", name));
    const int dir_fd = fd.release();
    while (const dirent* entry = readdir(dir.get())) {
      const absl::string_view child(entry->d_name);
      if (child == "." || child == "..") continue;
      CRISP_RETURN_IF_ERROR(Visit(dir_fd, entry->d_name, depth + 1));
    }
    return absl::OkStatus();
  }

  const Operation& operation_;
  uint64_t visited_ = 0;
  TreeCount count_;
  dev_t device_ = 0;
  std::map<ino_t, nlink_t> names_;  // met so far, of inodes with several
};

}  // namespace

absl::StatusOr<TreeCount> CountTree(int parent_fd,
                                    const std::string& name,
                                    const Operation& operation) {
  Counter counter(operation);
  CRISP_RETURN_IF_ERROR(counter.Visit(parent_fd, name, 0));
  return counter.count();
}

absl::StatusOr<bool> IsEmptyDirectory(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(path.c_str()), closedir);
  if (dir == nullptr) return ErrnoError(errno, absl::StrCat("list ", path));
  while (const dirent* entry = readdir(dir.get())) {
    const absl::string_view name(entry->d_name);
    if (name != "." && name != "..") return false;
  }
  return true;
}

}  // namespace crisp::storage
