#ifndef CRISP_STORAGE_IMAGE_LAYER_FETCH_H_
#define CRISP_STORAGE_IMAGE_LAYER_FETCH_H_

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/operation.h"
#include "base/unique_fd.h"
#include "storage/image/early_fetch.h"
#include "storage/image/image_store_impl.h"
#include "storage/unpack/layer_unpack.h"

namespace crisp::storage {

// A new layer's target, in a new folder.
absl::StatusOr<UniqueFd> MakeLayerTarget(const StorePaths& paths,
                                         int64_t number,
                                         const LayerForm& form);

// Makes one layer: downloads, verifies, unpacks. All of it overlaps if an unpacking slot is free;
// otherwise the download goes to disk first. It may begin before the config says which layer the
// blob is to be. A blob that does not become a layer is trash when this object goes.
class ImageStoreImpl::LayerFetch {
 public:
  // Store, session and sync outlive this object.
  LayerFetch(ImageStoreImpl& store,
             RegistrySession& session,
             StoreSync& sync,
             int64_t number,
             Descriptor blob,
             const LayerForm& form,
             Blobs blob_is);
  ~LayerFetch();
  LayerFetch(const LayerFetch&) = delete;
  LayerFetch& operator=(const LayerFetch&) = delete;

  // Begins on a thread of its own, if one can be made. `hold` goes with this object.
  absl::Status Begin(const Operation& operation, BlobsUnderWay::Hold hold);
  // Begins, unless Begin() did, and waits for the end. Call once. DataLoss if the layer is not
  // `diff_id`.
  absl::StatusOr<LayerRecord> Finish(const std::string& diff_id, const Operation& operation);

 private:
  absl::Status Make(const Operation& operation);
  absl::Status MakeOnce(const Operation& operation);
  void StartOver();
  absl::StatusOr<LayerRecord> Settle(const std::string& diff_id);
  // Have what the layer consists of made durable at the pull's end: what it is unpacked into, where
  // that can be synced by itself; then what is beside it, and the folder.
  absl::Status SyncTarget();
  absl::Status SyncFolder();
  absl::Status AddToSync(const std::vector<std::string>& paths);
  absl::StatusOr<std::unique_ptr<LayerUnpack>> StartUnpack();
  absl::Status Fetch(const std::function<absl::Status(absl::string_view)>& sink,
                     const Operation& operation);
  absl::Status Streamed(const Operation& operation);
  absl::Status Spool(const Operation& operation);
  absl::Status UnpackSpooled(const Operation& operation);
  absl::Status FinishUnpack(LayerUnpack& unpack, const Operation& operation);
  // Adds the layer to an error of unpacking.
  absl::Status InLayer(const absl::Status& status) const;

  ImageStoreImpl& store_;
  RegistrySession& session_;
  StoreSync& sync_;
  int64_t number_;
  const Descriptor blob_;
  const Blobs blob_is_;
  const LayerForm& form_;
  std::string spool_;
  std::shared_ptr<UnpackBroker> broker_;  // for the layers after this one, too
  UniqueFd target_;
  UniqueFd file_;
  bool syncs_itself_ = false;  // see LayerForm::SyncSet()
  bool settled_ = false;
  UnpackResult result_;
  std::unique_ptr<EarlyFetch> early_;  // or null; its thread uses what is above
};

// The layers of one pull that were begun before there was a config. Thread-safe.
class ImageStoreImpl::EarlyLayers {
 public:
  void Add(const std::string& digest, std::unique_ptr<LayerFetch> layer);
  bool Has(const std::string& digest) const;
  // Null if there is none, or it was taken.
  std::unique_ptr<LayerFetch> Take(const std::string& digest);

 private:
  mutable absl::Mutex mutex_;
  std::map<std::string, std::unique_ptr<LayerFetch>> layers_ ABSL_GUARDED_BY(mutex_);  // by blob
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_IMAGE_LAYER_FETCH_H_
