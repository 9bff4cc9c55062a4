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

// Writable directories and mounted overlays that are made ahead of the containers to which they
// will belong: some for each of the images that were used last. Mounting an overlay makes half a
// dozen inodes, which is most of the cost of creating a container on a disk. Spares have nothing of
// a container's own: the image, the layer of mount points and an empty upper directory are the same
// for all.
//
// The store pins them under "spare-…" keys. The next start of the daemon releases these, as it does
// with all that no record names. Thread-safe.
class SpareRoots {
 public:
  struct Root {
    std::string key;  // in the store; Rekey() makes it a container's
    storage::RootFs root;
    UniqueFd mount;  // the overlay, attached nowhere
  };

  // `each` is the number per image, 0 for none. `bottom` is the layer below every image's, "" for
  // none. The others outlive this.
  SpareRoots(storage::ImageStore* images, WorkQueue* queue, int each, std::string bottom)
      : images_(images), queue_(queue), each_(each), bottom_(std::move(bottom)) {}

  // Takes a spare of the image, if there is one. Either way some are made in the background, and
  // those of an image that was not used for long are released there.
  std::optional<Root> Take(const std::string& image_id);
  // Gives back a spare that cannot be used after all.
  void Release(Root root);
  // Called when the image is gone. Its spares are gone when this returns.
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
  // Puts a spare on its image's shelf. False, and `made` stays, if nobody wants it any more.
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
