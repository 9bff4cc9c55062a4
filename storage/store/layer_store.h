#ifndef CRISP_STORAGE_STORE_LAYER_STORE_H_
#define CRISP_STORAGE_STORE_LAYER_STORE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/operation.h"
#include "storage/store/image_catalog.h"
#include "storage/store/layer_mounts.h"

namespace crisp::storage {

// The directories of a store:
//   layers/<number>/<mark>  one unpacked layer, in the form that has this mark
//   layers/<number>/implicit_dirs  see InheritedDirs; for layers that have such
//   layers/<number>/whiteout_dirs  as well
//   blobs/sha256/<hex>    compressed layers, kept for export
//   ingest/<number>       half-made things; means nothing after a restart
//   containers/<key>/     see RootStore
//   trash/<number>        renamed here to be deleted in the background
//   empty                 a lower directory for images without layers
struct StorePaths {
  std::string root;
  std::string layers() const { return root + "/layers"; }
  std::string blobs() const { return root + "/blobs/sha256"; }
  std::string ingest() const { return root + "/ingest"; }
  std::string containers() const { return root + "/containers"; }
  std::string trash() const { return root + "/trash"; }
  std::string empty() const { return root + "/empty"; }
  std::string LayerDir(int64_t number) const;  // layers/<number>
  std::string ImplicitDirs(int64_t number) const;
  std::string WhiteoutDirs(int64_t number) const;
  std::string Blob(absl::string_view digest) const;
};

// The layers that exist, and their users. A layer goes only when no image, lease (a pull under way)
// or pin (a container) holds it. Thread-safe. No lock is held across disk access, except by
// Recover().
class LayerStore {
 public:
  LayerStore(StorePaths paths, ImageCatalog* catalog)
      : paths_(std::move(paths)), catalog_(catalog) {}

  // How the store was closed. After the machine went down without warning each layer is verified
  // before its next use; one that is emptied is suspect anyway.
  enum class LastEnd { kKnown, kPowerCut };
  // Takes over what the catalog lists. A layer that is gone is dropped with the images that stand
  // on it.
  absl::Status Recover(LastEnd last_end);
  // Layers that no catalog lists, but containers stand on: they stay until Unhold(). Before
  // TrashStrangers(). What is left of the directories, in this order.
  struct Held {
    std::string diff_id;
    int64_t number = 0;
  };
  std::vector<LayerRecord> Hold(const std::vector<Held>& layers);
  void Unhold(const std::vector<LayerRecord>& layers);
  // All that nobody knows below blobs/ and ingest/ is trash, and below layers/ unless those stay.
  enum class Strangers { kTrashed, kLayersStay };
  absl::Status TrashStrangers(Strangers strangers);

  // Makes sure that the layer exists and leases it (Release() ends that). `build` makes it if it
  // does not. Concurrent callers wait for one build, and take over if it fails by its own
  // cancellation. Returns the record, and whether it still has to be committed.
  struct Lease {
    LayerRecord record;
    bool committed = false;
  };
  using Build = std::function<absl::StatusOr<LayerRecord>(int64_t number)>;
  absl::StatusOr<Lease> Acquire(const std::string& diff_id,
                                const Build& build,
                                const Operation& operation);
  void Release(const std::string& diff_id);
  // Called when the catalog has the layers.
  void MarkCommitted(const std::vector<LayerRecord>& layers);

  // Pins the layers of an image that `find` still knows (one atomic step with regard to Collect()).
  // Returns the pinned records, bottom first. DataLoss if a suspect layer turned out damaged;
  // `operation`'s error if finding that out takes too long.
  absl::StatusOr<std::vector<LayerRecord>> Pin(
      const std::function<absl::StatusOr<std::vector<std::string>>()>& find,
      const Operation& operation);
  // Pins the layers that recovery found pinned. Unknown layers are skipped.
  std::vector<LayerRecord> Repin(const std::vector<std::string>& diff_ids);
  void Unpin(const std::vector<std::string>& diff_ids);

  // Moves every layer that nobody holds to the trash.
  absl::Status Collect();
  // Verifies one suspect layer. False if none is left, or `operation` ended.
  bool VerifyNext(const Operation& operation);

  // The root of a layer that is pinned, leased or about to be: its directory, or its mount.
  absl::StatusOr<Lower> Root(const LayerRecord& record);
  // Ends a layer that no catalog lists (any more): unmounts it here and moves it to the trash, now
  // or with EmptyTrash().
  absl::Status Discard(int64_t number);

  int64_t NextNumber() { return next_number_++; }
  // Renames `path` into the trash; absent is OK.
  absl::Status Trash(const std::string& path);
  // The same, for paths that nobody will use again. A path that cannot be moved now is moved by a
  // later EmptyTrash().
  void TrashSurely(const std::string& path);
  // Empties the trash. FailedPrecondition if something in it is mounted; the rest is deleted.
  absl::Status EmptyTrash();
  std::vector<LayerRecord> Records() const;
  const StorePaths& paths() const { return paths_; }

 private:
  struct State {
    LayerRecord record;
    bool busy = false;  // being built, verified or collected; others wait
    bool present = false;
    bool committed = false;
    bool suspect = false;
    int leases = 0;
    int pins = 0;
  };
  void Forget(const std::string& diff_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Drop(const LayerRecord& record);
  // `wait` is of this operation and mutex_.
  absl::Status WaitIdle(const std::string& diff_id,
                        const Operation& operation,
                        const OperationWait& wait) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // As LayerForm has them; IsIntact() looks at the blob, too, if it is kept.
  bool LooksWhole(const LayerRecord& record) const;
  absl::StatusOr<bool> IsIntact(const LayerRecord& record, const Operation& operation) const;
  // Verifies the layer if it is suspect, and drops it if it is damaged.
  absl::Status Verify(const std::string& diff_id, const Operation& operation);
  void Suspect(const std::string& diff_id);

  const StorePaths paths_;
  ImageCatalog* const catalog_;
  LayerMounts mounts_;
  std::atomic<int64_t> next_number_{1};
  mutable absl::Mutex mutex_;                                    // taken before the catalog's
  std::map<std::string, State> layers_ ABSL_GUARDED_BY(mutex_);  // by diff_id
  std::map<int64_t, int> held_ ABSL_GUARDED_BY(mutex_);          // by number: holds
  // paths that could not be moved to the trash
  std::set<std::string> to_trash_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_STORE_LAYER_STORE_H_
