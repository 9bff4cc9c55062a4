#ifndef CRISP_STORAGE_EROFS_EROFS_TREE_H_
#define CRISP_STORAGE_EROFS_EROFS_TREE_H_

#include <sys/types.h>
#include <time.h>

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/erofs/erofs_xattrs.h"

namespace crisp::storage {

// A tree of inodes in memory, with names as a file system has them, from which an EROFS image is
// written. Inodes are numbers. A number is free again, and given anew, when its last name is gone.
// Not thread-safe.
class ErofsTree {
 public:
  static constexpr uint32_t kRoot = 0;
  static constexpr uint32_t kNone = ~uint32_t{0};

  struct Node {
    uint64_t size = 0;
    timespec mtime = {0, 0};
    uint32_t uid = 0;
    uint32_t gid = 0;
    uint32_t start = 0;   // block of the contents, or a device's number
    uint32_t names = 0;   // 1 for a directory
    uint32_t detail = 0;  // of a directory or a symlink: in the table of those
    uint32_t xattrs = 0;  // a set's number; 0 for none
    uint16_t mode = 0;    // with the type
    bool implicit = false;
    bool opaque = false;
  };
  struct Directory {
    absl::btree_map<std::string, uint32_t> children;
    uint32_t parent = kRoot;  // the root's is itself
    int depth = 0;            // components from the root
    std::string name;         // in the parent
  };

  // A tree with a root, 0755 and the present time. Beyond roughly `max_memory` bytes it is
  // ResourceExhausted.
  explicit ErofsTree(uint64_t max_memory);

  Node& node(uint32_t id) { return nodes_[id]; }
  const Node& node(uint32_t id) const { return nodes_[id]; }
  const Directory& directory(uint32_t id) const { return directories_[nodes_[id].detail]; }
  const std::string& symlink(uint32_t id) const { return symlinks_[nodes_[id].detail]; }
  const XattrMap& xattrs(uint32_t set) const { return xattrs_[set].map; }
  // See EncodeErofsXattrs().
  const std::string& encoded_xattrs(uint32_t set) const { return xattrs_[set].bytes; }

  size_t size() const { return nodes_.size(); }  // all numbers are below
  // The inode with the name in the directory; kNone if there is none.
  uint32_t Find(uint32_t directory, absl::string_view name) const;
  // What a symlink at a path's end is.
  enum class LastLink { kFollowed, kItself };
  // Resolves a path as openat2(2) does below the root with RESOLVE_IN_ROOT. NotFound.
  // FailedPrecondition if something on the way is not a directory or symlinks form a loop.
  // InvalidArgument for a path that is too long.
  absl::StatusOr<uint32_t> Resolve(absl::string_view path, LastLink last_link) const;
  // The path of a directory; "." is the root.
  std::string PathOf(uint32_t directory) const;
  bool IsBelow(uint32_t id, uint32_t ancestor) const;  // or the same; both directories

  // Gives a free name to a new inode of this mode (with type); a symlink needs a target.
  absl::StatusOr<uint32_t> Make(uint32_t directory,
                                const std::string& name,
                                mode_t mode,
                                const std::string& target = "");
  // Adds one more name for an inode that is not a directory.
  absl::Status Link(uint32_t directory, const std::string& name, uint32_t id);
  struct Removed {
    uint64_t inodes = 0;
    uint64_t bytes = 0;  // sizes of regular files
  };
  // Removes the name, and the inode if it has no other. With a directory everything in it is
  // removed.
  Removed Remove(uint32_t directory, const std::string& name);

  // The number of a set of attributes. It is the same for equal sets.
  absl::StatusOr<uint32_t> InternXattrs(const XattrMap& xattrs);
  // Counts memory that is kept beside the tree.
  absl::Status Charge(uint64_t bytes);

 private:
  struct XattrSet {
    XattrMap map;
    std::string bytes;
  };
  uint32_t NewNode(mode_t mode);
  void Free(uint32_t id, std::vector<uint32_t>& directories, Removed& removed);

  const uint64_t max_memory_;
  uint64_t memory_ = 0;
  std::deque<Node> nodes_;
  std::vector<uint32_t> free_nodes_;
  std::deque<Directory> directories_;
  std::vector<uint32_t> free_directories_;
  std::deque<std::string> symlinks_;
  std::vector<uint32_t> free_symlinks_;
  std::deque<XattrSet> xattrs_;
  absl::flat_hash_map<std::string, uint32_t> xattr_numbers_;
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_EROFS_EROFS_TREE_H_
