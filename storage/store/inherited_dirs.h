#ifndef CRISP_STORAGE_STORE_INHERITED_DIRS_H_
#define CRISP_STORAGE_STORE_INHERITED_DIRS_H_

#include <sys/types.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "storage/layer/tree_walk.h"

namespace crisp::storage {

// A layer's tar may put files into directories that it does not list; in the image they have the
// owner, mode, times and attributes that a layer below gives them. Layers are unpacked without
// their parents and shared between images, so none of them can hold what depends on the layers
// below. It is kept beside them: a layer of directories only, made once per chain of layers that
// needs it, and put on top of them, where overlayfs takes a merged directory's attributes from. The
// same layer ends ghosts: overlayfs lists a whiteout in a directory that it has from one layer
// alone, and leaves it out where it has merged the directory from two.
//
// One chain of unpacked layers. Not thread-safe; the layers must not change meanwhile.
class InheritedDirs {
 public:
  struct Layer {
    std::string fs;                          // its directory
    std::vector<std::string> implicit_dirs;  // as UnpackResult has them
    std::vector<std::string> whiteout_dirs;
  };
  // Bottom first; of a layer that comes twice the upper one counts.
  explicit InheritedDirs(std::vector<Layer> layers);

  // Finds the directories that the chain would show as a layer made them and not as one below has
  // them, and those that would show whiteouts. For the root, whose times every image but the
  // simplest would ask for, only owner, mode and extended attributes count.
  absl::Status Find();
  bool empty() const { return wanted_.empty(); }
  // After Find(): makes them and their parents below an empty directory, and gives that the root's
  // attributes. Returns what there is then, as CountTree counts the contents. On failure rubbish is
  // left in it.
  absl::StatusOr<TreeCount> Make(int target_fd);

 private:
  struct OpenLayer {
    UniqueFd fd;
    std::set<std::string> implicit;
    std::set<std::string> whiteouts;
  };
  absl::StatusOr<std::vector<size_t>> Providers(const std::string& path);
  absl::StatusOr<std::vector<size_t>> FindProviders(const std::string& path);
  absl::StatusOr<size_t> Source(const std::string& path);
  absl::StatusOr<bool> IsWanted(const std::string& path);
  absl::StatusOr<bool> ShowsWhiteouts(const std::string& path);
  void Want(std::string path);

  std::vector<Layer> layers_;  // topmost first, each once
  std::vector<OpenLayer> open_;
  std::map<std::string, std::vector<size_t>> providers_;
  std::set<std::string> wanted_;  // with all parents
};

// The name of a chain's layer of directories, where other layers have their diff_id.
std::string InheritedDirsKey(const std::vector<std::string>& diff_ids);

// A list of directories as a file, written beside the layer; an empty list is no file.
absl::Status WriteDirList(const std::string& path, const std::vector<std::string>& directories);
absl::StatusOr<std::vector<std::string>> ReadDirList(const std::string& path);

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_STORE_INHERITED_DIRS_H_
