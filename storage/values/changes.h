#ifndef CRISP_STORAGE_VALUES_CHANGES_H_
#define CRISP_STORAGE_VALUES_CHANGES_H_

#include <cstddef>
#include <string>
#include <vector>

namespace crisp::storage {

// What a container has made of its image. Values.

struct Change {
  enum class Kind {
    kChanged,  // the image has it, too; also a directory below which something has changed
    kAdded,
    kDeleted,  // of a directory, with all below it
  };
  std::string path;  // from the container's root, with a leading slash; bytes of the container's
  Kind kind = Kind::kChanged;
  bool operator==(const Change&) const = default;
};

// A container can make as many files as its disk has room for.
struct ChangeLimits {
  size_t paths = 100'000;
  size_t bytes = size_t{16} << 20;  // of all paths
  int depth = 128;                  // of directories in one another
};

struct Changes {
  std::vector<Change>
      list;                // directory by directory, names in order, a directory before its content
  bool truncated = false;  // there are more than the limits allow
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_VALUES_CHANGES_H_
