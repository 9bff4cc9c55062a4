#ifndef CRISP_STORAGE_LAYER_TREE_WALK_H_
#define CRISP_STORAGE_LAYER_TREE_WALK_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/operation.h"

namespace crisp::storage {

// The contents of a tree, counted as LayerContent counts: a file with several names counts at its
// last one inside the tree, a directory 4 KiB.
struct TreeCount {
  uint64_t inodes = 0;
  uint64_t bytes = 0;
  uint64_t disk_bytes = 0;
};

// Counts `name` below `parent_fd` and everything below it, `name` itself included. Follows no
// symlink and stays on one file system. A file with names outside of the tree is not counted,
// because it outlives the tree. `operation`'s error comes within some thousand files.
absl::StatusOr<TreeCount> CountTree(int parent_fd,
                                    const std::string& name,
                                    const Operation& operation = Operation());

// True if there is nothing in the directory.
absl::StatusOr<bool> IsEmptyDirectory(const std::string& path);

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_LAYER_TREE_WALK_H_
