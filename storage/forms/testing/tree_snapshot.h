#ifndef CRISP_STORAGE_FORMS_TESTING_TREE_SNAPSHOT_H_
#define CRISP_STORAGE_FORMS_TESTING_TREE_SNAPSHOT_H_

#include <limits.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "storage/oci/digest.h"

namespace crisp::storage {

inline std::string XattrsOf(const std::string& path) {
  std::string names(XATTR_LIST_MAX, '\0');
  const ssize_t size = llistxattr(path.c_str(), names.data(), names.size());
  names.resize(size > 0 ? static_cast<size_t>(size) : 0);
  std::set<std::string> lines;
  for (absl::string_view name : absl::StrSplit(names, '\0', absl::SkipEmpty())) {
    std::string value(XATTR_SIZE_MAX, '\0');
    const ssize_t n =
        lgetxattr(path.c_str(), std::string(name).c_str(), value.data(), value.size());
    value.resize(n > 0 ? static_cast<size_t>(n) : 0);
    lines.insert(absl::StrCat(name, "=", absl::BytesToHexString(value)));
  }
  return absl::StrJoin(lines, ",");
}

// Test-only: everything that can be seen of a tree, by name; what time made (`now`) is left out.
class Snapshot {
 public:
  explicit Snapshot(const std::string& root, const std::set<std::string>& timeless)
      : timeless_(timeless) {
    Visit(root, ".");
  }
  const std::map<std::string, std::string>& lines() const { return lines_; }

 private:
  void Visit(const std::string& path, const std::string& name) {
    struct stat st {};
    ASSERT_EQ(lstat(path.c_str(), &st), 0) << path;
    std::string line = absl::StrFormat("%o %d:%d", st.st_mode, st.st_uid, st.st_gid);
    const bool whiteout = S_ISCHR(st.st_mode) && st.st_rdev == 0;
    // A directory that no entry described has the time of its making.
    const bool now =
        S_ISDIR(st.st_mode) && absl::FromTimeT(st.st_mtime) > absl::Now() - absl::Hours(1);
    if (!whiteout && !now && timeless_.count(name) == 0) {
      absl::StrAppend(&line, " @", st.st_mtim.tv_sec, ".", st.st_mtim.tv_nsec);
    }
    if (!S_ISDIR(st.st_mode)) absl::StrAppend(&line, " links ", st.st_nlink, " ", SameAs(st, name));
    if (S_ISREG(st.st_mode))
      absl::StrAppend(&line, " size ", st.st_size, " ", Sha256Digest(*ReadFile(path)));
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) absl::StrAppend(&line, " dev ", st.st_rdev);
    if (S_ISLNK(st.st_mode)) {
      char target[PATH_MAX] = {};
      ASSERT_GE(readlink(path.c_str(), target, sizeof(target)), 0);
      absl::StrAppend(&line, " -> ", target);
    }
    absl::StrAppend(&line, " {", XattrsOf(path), "}");
    lines_[name] = line;
    if (!S_ISDIR(st.st_mode)) return;
    std::vector<std::string> children = ListDir(path).value();
    std::sort(children.begin(), children.end());
    for (const std::string& child : children) {
      Visit(path + "/" + child, name == "." ? child : name + "/" + child);
    }
  }
  // Names of one inode are told by the first of them, in order of names.
  std::string SameAs(const struct stat& st, const std::string& name) {
    std::string& first = names_[st.st_ino];
    if (first.empty() || name < first) first = name;
    return st.st_nlink > 1 ? absl::StrCat("inode of ", first) : "";
  }

  const std::set<std::string> timeless_;
  std::map<std::string, std::string> lines_;
  std::map<ino_t, std::string> names_;
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_FORMS_TESTING_TREE_SNAPSHOT_H_
