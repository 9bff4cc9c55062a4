#ifndef CRISP_STORAGE_LAYER_APPLIER_H_
#define CRISP_STORAGE_LAYER_APPLIER_H_

#include <sys/types.h>
#include <time.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace crisp::storage {

// One member of a layer's tar, as the archive says it: nothing in it is trusted.
struct LayerEntry {
  enum class Type { kFile, kDirectory, kSymlink, kHardlink, kCharDevice, kBlockDevice, kFifo };
  Type type = Type::kFile;
  std::string path;
  std::string target;  // of a symlink (as it is) or a hard link (a path in the layer)
  mode_t mode = 0;     // permission, setuid, setgid and sticky bits
  uint32_t uid = 0;
  uint32_t gid = 0;
  timespec mtime = {0, 0};
  dev_t device = 0;
  uint64_t size = 0;
  std::vector<std::pair<std::string, std::string>> xattrs;
};

struct LayerContent {
  uint64_t entries = 0;  // members of the archive
  uint64_t inodes = 0;   // what the tree holds afterwards, its root not counted
  uint64_t bytes = 0;    // sum of the sizes of its regular files, each inode once
  uint64_t disk_bytes = 0;  // the same in blocks of 4 KiB, and one per directory
  // Directories that hide what is below them; the caller marks them (trusted.overlay.opaque needs
  // CAP_SYS_ADMIN, which who reads archives must not have). Relative to the layer's root.
  std::vector<std::string> opaque_dirs;
  // Directories that entries needed and no entry described ("." is the root): made root's, 0755, and
  // in an image as a layer below has them (see inherited_dirs.h). Symlinks may lead there.
  std::vector<std::string> implicit_dirs;
};

struct ApplyLimits {
  uint64_t max_entries = 10'000'000;
  size_t max_name = 4096;      // bytes of a path
  size_t max_component = 255;
  int max_depth = 512;         // components from the layer's root, symlinks resolved
  size_t max_xattr_bytes = 1 << 20;     // of one entry
  size_t max_listed_bytes = 32u << 20;  // of the names of all opaque and implicit directories
};

// Writes the members of one layer below a directory, in archive order and with the archive's owners,
// modes, times and extended attributes, in the form that overlayfs reads: a whiteout becomes a
// character device 0:0, an opaque marker is reported. Layers do not need their parents.
//
// Nothing is ever touched outside of the directory: parents are resolved by openat2 with
// RESOLVE_IN_ROOT (a symlink on the way ends inside), the last component is never followed, a hard
// link's target must be a file of this layer. An entry replaces what has its name, except that a
// directory keeps its contents. Extended attributes other than user.*, security.capability and POSIX
// ACLs, and all that overlayfs reads, are left out. Not thread-safe. umask must be 0.
//
// Errors: InvalidArgument for names and links that no honest layer has, ResourceExhausted beyond a
// limit or on a full disk, else the system call's. After an error the tree is to be thrown away.
class LayerApplier {
 public:
  explicit LayerApplier(int root_fd, ApplyLimits limits = {});

  // Makes the entry. For a regular file the descriptor comes back to write `size` bytes to;
  // FinishFile() must follow. For others the descriptor is invalid.
  absl::StatusOr<UniqueFd> Add(const LayerEntry& entry);
  // Sets what writing would have changed: times, setuid bits, capabilities.
  absl::Status FinishFile(const LayerEntry& entry, int fd);
  // After the last entry: directories get their modes and times. The object is spent.
  absl::StatusOr<LayerContent> Finish();

 private:
  struct Name {
    std::string parent;  // "" is the root
    std::string base;    // empty: the root itself
    std::string path() const { return parent.empty() ? base : parent + "/" + base; }
  };
  absl::StatusOr<Name> Split(absl::string_view path) const;
  absl::StatusOr<int> Parent(const std::string& path);
  absl::StatusOr<UniqueFd> OpenParent(const std::string& path);
  absl::Status MakeParents(const std::string& path);
  absl::Status CheckDepth(int dir_fd, absl::string_view path) const;
  absl::Status Whiteout(int parent, const Name& name);
  absl::Status Opaque(const std::string& directory);
  absl::Status List(const std::string& directory, std::vector<std::string>& list);
  absl::Status NoteDirectory(int parent, const std::string& base, const std::string* implicit_path);
  absl::Status ListImplicit();
  absl::Status Directory(int parent, const Name& name, const LayerEntry& entry);
  absl::Status Link(int parent, const Name& name, const LayerEntry& entry);
  absl::Status LinkOver(int parent,
                        const Name& name,
                        const LayerEntry& entry,
                        int from,
                        const std::string& target);
  absl::Status Node(int parent, const Name& name, const LayerEntry& entry);
  absl::StatusOr<UniqueFd> File(int parent, const Name& name, const LayerEntry& entry);
  absl::StatusOr<bool> Clear(int parent, const Name& name, bool keep_directory);
  absl::Status Forget(int parent, const std::string& base);
  absl::Status FinishDirectory(const LayerEntry& entry);

  int root_;
  ApplyLimits limits_;
  LayerContent content_;
  size_t listed_bytes_ = 0;
  UniqueFd cached_fd_;
  std::string cached_parent_;
  std::vector<LayerEntry> directories_;          // in archive order; finished at the end
  absl::flat_hash_map<ino_t, std::string> implicit_;  // directories that no entry described yet
  bool root_described_ = false;
  absl::flat_hash_set<std::string> whiteouts_;   // made by this layer and not replaced since
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_LAYER_APPLIER_H_
