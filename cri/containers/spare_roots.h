#ifndef CRISP_CRI_CONTAINERS_SPARE_ROOTS_H_
#define CRISP_CRI_CONTAINERS_SPARE_ROOTS_H_

#include <list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"
#include "cri/state/work_queue.h"
#include "storage/image/image_store.h"

namespace crisp::cri {

// Writable directories and mounted overlays that were made ahead of the containers they will belong
// to: some for each of the images that were used last. To mount an overlay makes half a dozen
// inodes, which is most of what creating a container costs on a disk. Nothing of a container's own
// is in them: the image, the layer of mount points and an empty upper directory are the same for
// all.
//
// In the store they are pinned under "spare-…" keys, which the next start of the daemon releases,
// as it does whatever no record names. Thread-safe.
class SpareRoots {
 public:
  struct Root {
    std::string key;  // in the store; Rekey() makes it a container's
    storage::RootFs root;
    UniqueFd mount;  // the overlay, attached nowhere
  };

  // `each`: how many per image; 0: none. `bottom`: the layer below every image's; "": there is
  // none. The others outlive this.
  SpareRoots(storage::ImageStore* images, WorkQueue* queue, int each, std::string bottom)
      : images_(images), queue_(queue), each_(each), bottom_(std::move(bottom)) {}

  // One of the image's, if there is one. Either way some are made in the background, and those of
  // an image that was not used for long are released there.
  std::optional<Root> Take(const std::string& image_id);
  // One that cannot be used after all.
  void Release(Root root);
  // The image is gone: so are its spares when this returns.
  void Drop(const std::string& image_id);
  void DropAll();

 private:
  struct Shelf {
    std::string image_id;
    std::vector<Root> roots;
    bool filling = false;
  };
  void Fill(const std::string& image_id);
  absl::StatusOr<Root> Make(const std::string& image_id);
  // Where it goes; what nobody wants any more is left.
  bool Shelve(const std::string& image_id, absl::StatusOr<Root>& made);
  Shelf* Find(const std::string& image_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  storage::ImageStore* const images_;
  WorkQueue* const queue_;
  const int each_;
  const std::string bottom_;
  absl::Mutex mutex_;
  std::list<Shelf> shelves_ ABSL_GUARDED_BY(mutex_);  // the one that was used last is first
  bool able_ ABSL_GUARDED_BY(mutex_) = true;          // this kernel mounts them
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_SPARE_ROOTS_H_
