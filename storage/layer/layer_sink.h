#ifndef CRISP_STORAGE_LAYER_LAYER_SINK_H_
#define CRISP_STORAGE_LAYER_LAYER_SINK_H_

#include <sys/types.h>
#include <time.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace crisp::storage {

// One member of a layer's tar, as the archive says it. Nothing in it is trusted.
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
  uint64_t inodes = 0;   // inodes of the finished tree, without its root
  uint64_t bytes = 0;    // sum of the sizes of its regular files, each inode once
  // The size on the disk. For directories it is `bytes` in blocks of 4 KiB, and one block per
  // directory. For a layer that is one file it is its size.
  uint64_t disk_bytes = 0;
  // Directories that hide the layers below. The caller marks them: trusted.overlay.opaque needs
  // CAP_SYS_ADMIN, and a process that reads archives must not have that. Relative to the layer's
  // root. Empty if they are marked already.
  std::vector<std::string> opaque_dirs;
  // Directories that entries needed and no entry described ("." is the root). They belong to root
  // and have mode 0755; in a container they look as a layer below has them (see inherited_dirs.h).
  // Symlinks may lead there.
  std::vector<std::string> implicit_dirs;
  // Directories that hold whiteouts ("." is the root). Symlinks may lead there.
  std::vector<std::string> whiteout_dirs;
  std::vector<std::string> dropped_xattrs;  // names that no layer keeps, each once, the first few
  // True if the layer hides all layers below.
  bool opaque_root = false;
};

struct ApplyLimits {
  uint64_t max_entries = 10'000'000;
  // Called after some number of entries, before the next is made. Its error ends the layer.
  std::function<absl::Status()> look_around;
  static constexpr uint64_t kLookAroundEvery = 1024;
  size_t max_name = 4096;  // bytes of a path
  size_t max_component = 255;
  int max_depth = 512;               // components from the layer's root, symlinks resolved
  size_t max_xattr_bytes = 1 << 20;  // of one entry
  size_t max_listed_bytes =
      32u << 20;  // of the names of all directories that are listed in LayerContent
};

// A layer's name, taken apart. No component is empty, "." or "..": a ".." removes the component
// before it.
struct LayerName {
  std::string parent;  // "" is the root
  std::string base;    // empty for the root itself
  std::string path() const { return parent.empty() ? base : parent + "/" + base; }
};
absl::StatusOr<LayerName> SplitLayerName(absl::string_view path, const ApplyLimits& limits);

// A name of an archive as messages show it: shortened, and with escapes for bytes that are not
// printable UTF-8.
std::string ShownName(absl::string_view name);
// "layer entry '…': <why>".
absl::Status BadEntry(absl::string_view path, absl::string_view why);

// True if a layer keeps this extended attribute of an archive: user.*, security.capability and
// POSIX ACLs, and nothing that overlayfs reads.
bool IsAllowedXattr(absl::string_view name);

// Takes the members of one layer in archive order and makes of them what overlayfs reads: a
// whiteout becomes a character device 0:0, an opaque directory gets an attribute. Layers do not
// need their parents. There is one class for each form in which a layer is kept. The meaning of
// entries is decided here, once.
//
// Nothing leads out of the layer. A symlink on the way to a name ends inside, the last component is
// never followed, and a hard link's target must be a file of this layer. An entry replaces the one
// of its name, except that a directory keeps its contents. Not thread-safe.
//
// Errors: InvalidArgument for names and links that no honest layer has, ResourceExhausted beyond a
// limit or on a full disk, else the system call's. After an error the result is to be thrown away.
class LayerSink {
 public:
  virtual ~LayerSink() = default;
  LayerSink(const LayerSink&) = delete;
  LayerSink& operator=(const LayerSink&) = delete;

  // Makes the entry. True for a regular file: Write() and then FinishFile() must follow.
  absl::StatusOr<bool> Add(const LayerEntry& entry);
  // Writes bytes of that file. Bytes that are never written are a hole. `offset` + size must not
  // exceed its size.
  virtual absl::Status Write(absl::string_view bytes, uint64_t offset, const LayerEntry& entry) = 0;
  virtual absl::Status FinishFile(const LayerEntry& entry) = 0;
  // Called after the last entry. The object is spent.
  virtual absl::StatusOr<LayerContent> Finish() = 0;

 protected:
  explicit LayerSink(ApplyLimits limits) : limits_(std::move(limits)) {}

  enum class Found { kNothing, kDirectory, kOther };
  // What becomes of a directory that has the name of an entry.
  enum class OldDirectory { kStays, kGoes };
  // What a form does for Add(). Parents are handles of its own, good until the next call of
  // Parent(). The names are checked. What a form makes it adds to content_.inodes and bytes, and
  // what it removes it takes off; but whiteouts are counted here.
  //
  // The directory at the path, "" for the root. Made if need be, and then Implicit(), unless it
  // takes a whiteout's place (ReplaceWhiteout()).
  virtual absl::StatusOr<int> Parent(const std::string& path) = 0;
  virtual absl::StatusOr<Found> Look(int parent, const std::string& base) = 0;
  // The name is free.
  virtual absl::Status MakeWhiteout(int parent, const LayerName& name) = 0;
  // The directory does not inherit from layers below, whether an entry described it or not.
  virtual absl::Status SetOnItsOwn(int parent, const std::string& base) = 0;
  // These replace what has the name. A directory that is there keeps its contents and gets what the
  // entry says; the last entry of one counts. Attributes that a layer does not keep (see
  // IsAllowedXattr) are left out.
  virtual absl::Status DescribeRoot(const LayerEntry& entry) = 0;
  virtual absl::Status Directory(int parent, const LayerName& name, const LayerEntry& entry) = 0;
  // One more name for the target, a symlink itself and not what it leads to. InvalidArgument for a
  // directory.
  virtual absl::Status Link(int parent,
                            const LayerName& name,
                            const LayerName& target,
                            const LayerEntry& entry) = 0;
  // A symlink, a device or a FIFO.
  virtual absl::Status Node(int parent, const LayerName& name, const LayerEntry& entry) = 0;
  // An empty file; Write() and FinishFile() follow.
  virtual absl::Status File(int parent, const LayerName& name, const LayerEntry& entry) = 0;

  // True if the directory takes the place of a whiteout. It is then a new one, not a merge with a
  // directory below.
  absl::StatusOr<bool> ReplaceWhiteout(const std::string& directory);
  absl::Status Opaque(const std::string& directory);
  // For LayerContent's lists, at the end.
  absl::Status Implicit(const std::string& path) { return List(path, content_.implicit_dirs); }
  absl::Status HasWhiteouts(const std::string& path) { return List(path, content_.whiteout_dirs); }
  // The directories that hold whiteouts, by the names that the archive gave them, each once,
  // sorted.
  std::vector<std::string> WhiteoutParents() const;

  const ApplyLimits limits_;
  LayerContent content_;
  absl::flat_hash_set<std::string> whiteouts_;  // made by this layer and not replaced since

 private:
  // Of entries and their attributes, and whether to go on at all.
  absl::Status CheckCounts(const LayerEntry& entry);
  void NoteDropped(const std::string& xattr);
  // An entry whose name begins with ".wh.".
  absl::Status Whiteout(int parent, const LayerName& name);
  absl::Status AddLink(int parent, const LayerName& name, const LayerEntry& entry);
  // ResourceExhausted when the lists have become too long.
  absl::Status List(const std::string& directory, std::vector<std::string>& list);

  size_t listed_bytes_ = 0;
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_LAYER_LAYER_SINK_H_
