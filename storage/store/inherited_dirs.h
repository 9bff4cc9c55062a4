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
#include "base/lower.h"
#include "base/unique_fd.h"
#include "storage/layer/tree_walk.h"

namespace crisp::storage {

// A layer's tar may put files into directories that it does not list. In the image these have the
// owner, mode, times and attributes that a layer below gives them. Layers are unpacked without
// their parents and shared between images, so none of them can hold what depends on the layers
// below. It is kept beside them, in a layer of directories only. That layer is made once per chain
// of layers that needs it, and put on top of them, because overlayfs takes a merged directory's
// attributes from the top. The same layer ends ghosts: overlayfs lists a whiteout in a directory
// that it has from one layer alone, and leaves it out if it has merged the directory from two.
//
// One chain of unpacked layers. Not thread-safe; the layers must not change meanwhile.
class InheritedDirs {
 public:
  struct Layer {
    Lower root;
    std::vector<std::string> implicit_dirs;  // as UnpackResult has them
    std::vector<std::string> whiteout_dirs;
  };
  // The layers stand bottom first. Of a layer that comes twice the upper one counts.
  explicit InheritedDirs(std::vector<Layer> layers);

  // Finds the directories that the chain would show as a layer made them and not as one below has
  // them, and those that would show whiteouts. Of the root only owner, mode and extended attributes
  // count: its times would ask for a layer in nearly every image.
  absl::Status Find();
  bool empty() const { return wanted_.empty(); }
  // Called after Find(). Makes the directories and their parents below an empty directory, and
  // gives that the root's attributes. Returns the contents, as CountTree counts them. A failure
  // leaves rubbish in it.
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

// A list of directories as a file, written beside the layer. An empty list is no file.
absl::Status WriteDirList(const std::string& path, const std::vector<std::string>& directories);
absl::StatusOr<std::vector<std::string>> ReadDirList(const std::string& path);

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_STORE_INHERITED_DIRS_H_
