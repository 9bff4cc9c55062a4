#ifndef CRISP_STORAGE_STORE_IMAGE_CATALOG_H_
#define CRISP_STORAGE_STORE_IMAGE_CATALOG_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/database.h"
#include "storage/layer/layer_form.h"
#include "storage/oci/image_manifest.h"
#include "storage/values/image.h"

namespace crisp::storage {

// An unpacked layer in its folder layers/<number>, whatever stands below it in a stack. Or what
// InheritedDirs made for a chain, always directories, with the chain's key as its diff_id and no
// blob.
struct LayerRecord {
  std::string diff_id;
  int64_t number = 0;
  std::string blob_digest;  // of the compressed bytes from which it was made
  uint64_t blob_size = 0;
  bool blob_kept = false;  // blobs/sha256/<hex> exists
  uint64_t archive_bytes = 0;
  bool opaque_root = false;  // hides all layers below
  LayerFacts facts;
  // Not in the catalog, whose records have none: the layer's folder tells it.
  const LayerForm* form = nullptr;
};

struct ImageRecord {
  Image image;
  std::string manifest_bytes;
  ImageManifest manifest;
  ImageConfig config;
  // The layers of its root, bottom first: the diff_ids, then the layer of InheritedDirs if there is
  // one.
  std::vector<std::string> layers;
};
using ImagePtr = std::shared_ptr<const ImageRecord>;

// Names, images and layers: the one durable table of the store's contents, and a copy of it in
// memory that serves all reads. Thread-safe; readers never wait for the disk.
class ImageCatalog {
 public:
  // A file that is not a database, or a damaged one, is set aside as <path>.damaged-<time>, which
  // the log says, and the catalog begins anew, empty. `on_write_failure` is called when a write
  // failed, and may make room; the write is tried once more.
  static absl::StatusOr<std::unique_ptr<ImageCatalog>> Open(
      const std::string& path,
      std::vector<std::string> pinned_patterns,
      std::function<void()> on_write_failure);

  // As ImageStore::Find.
  absl::StatusOr<ImagePtr> Find(absl::string_view reference) const;
  std::vector<ImagePtr> List() const;
  // True if an image stands on the layer.
  bool Uses(absl::string_view diff_id) const;
  std::vector<LayerRecord> Layers() const;

  // Makes the image known, gives it `names` (repo tags and repo digests, taken from the image that
  // had them) and records `layers`, in one transaction that survives power loss. The bytes must be
  // synced. `index` is the index that led to the manifest, if there was one.
  struct Index {
    std::string digest;
    std::string media_type;
    std::string bytes;
  };
  absl::Status Commit(const std::string& config_bytes,
                      const std::string& manifest_bytes,
                      const std::optional<Index>& index,
                      const std::vector<std::string>& names,
                      const std::vector<LayerRecord>& layers,
                      absl::Time now);
  // An index by which an image came. NotFound. Reads the disk.
  absl::StatusOr<Index> FindIndex(absl::string_view digest);
  // Gives the image one more name, which is taken from the image that had it. NotFound without the
  // image.
  absl::Status AddName(const std::string& id, const std::string& name);
  // Takes the name from its image. NotFound if none has it.
  absl::Status RemoveName(const std::string& name);
  // Forgets the image and its names. Absent is OK.
  absl::Status RemoveImage(const std::string& id);
  absl::Status RemoveLayer(int64_t number);
  // Small durable facts ("boot_id", "clean", "rooted").
  absl::StatusOr<std::string> GetFact(const char* key);
  absl::Status SetFact(const char* key, absl::string_view value);

 private:
  ImageCatalog(std::vector<std::string> pinned, std::function<void()> on_write_failure)
      : pinned_patterns_(std::move(pinned)), on_write_failure_(std::move(on_write_failure)) {}
  static absl::StatusOr<std::unique_ptr<ImageCatalog>> OpenOnce(
      const std::string& path,
      std::vector<std::string> pinned_patterns,
      std::function<void()> on_write_failure);
  absl::Status Load();
  absl::Status Write(const std::function<absl::Status()>& body);
  absl::StatusOr<ImageRecord> MakeRecord(const std::string& config_bytes,
                                         const std::string& manifest_bytes,
                                         absl::Time now) const;
  void AssignName(const std::string& name, const std::string& id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool HasLayer(const std::string& diff_id, const std::vector<LayerRecord>& fresh) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FillLayers(ImageRecord& record, const std::vector<LayerRecord>& fresh)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CountUses(const ImageRecord& record, int change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RefreshNames(const std::string& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::unique_ptr<Database> database_;
  const std::vector<std::string> pinned_patterns_;
  const std::function<void()> on_write_failure_;

  absl::Mutex write_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);  // held across the disk; writers only
  mutable absl::Mutex mutex_;
  std::map<std::string, ImagePtr> images_ ABSL_GUARDED_BY(mutex_);    // by id
  std::map<std::string, std::string> names_ ABSL_GUARDED_BY(mutex_);  // name → id
  std::map<std::string, int> layer_uses_ ABSL_GUARDED_BY(mutex_);     // diff_id → images
  std::map<int64_t, LayerRecord> layers_ ABSL_GUARDED_BY(mutex_);     // by number
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_STORE_IMAGE_CATALOG_H_
