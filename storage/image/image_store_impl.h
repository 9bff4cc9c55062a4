#ifndef CRISP_STORAGE_IMAGE_IMAGE_STORE_IMPL_H_
#define CRISP_STORAGE_IMAGE_IMAGE_STORE_IMPL_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "base/thread.h"
#include "base/unique_fd.h"
#include "storage/image/early_fetch.h"
#include "storage/image/image_store.h"
#include "storage/layer/layer_form.h"
#include "storage/registry/registry.h"
#include "storage/store/image_catalog.h"
#include "storage/store/layer_store.h"
#include "storage/store/root_store.h"
#include "storage/store/store_sync.h"
#include "storage/unpack/unpack_broker.h"

namespace crisp::storage {

// Lets a number of threads do something at once; the others wait, with an Operation. Thread-safe.
class Slots {
 public:
  explicit Slots(int count) : free_(count) {}
  bool TryAcquire();
  absl::Status Acquire(const Operation& operation);
  void Release();

 private:
  absl::Mutex mutex_;
  int free_ ABSL_GUARDED_BY(mutex_);
};

// The tag in full of a name that a person gives. InvalidArgument, naming `what` is asked for, for
// what is no name or names a digest.
absl::StatusOr<std::string> TagOf(const std::string& name, absl::string_view what);

// ImageStore over a registry of the caller's choice (a fake one in tests).
class ImageStoreImpl : public ImageStore {
 public:
  static absl::StatusOr<std::unique_ptr<ImageStore>> Open(ImageStoreOptions options,
                                                          std::unique_ptr<Registry> registry);
  // Cancels pulls and waits for them and for the background thread.
  ~ImageStoreImpl() override;

  absl::StatusOr<std::string> Pull(const std::string& reference,
                                   const RegistryAuth& auth,
                                   const Operation& operation) override;
  absl::StatusOr<Image> Find(absl::string_view reference) const override;
  std::vector<Image> List() const override;
  absl::Status Remove(absl::string_view reference) override;
  absl::StatusOr<std::string> Tag(absl::string_view reference, const std::string& name) override;
  absl::Status Untag(const std::string& name) override;
  FsUsage ImageUsage() const override;
  absl::StatusOr<FsUsage> ContainerUsage(absl::string_view container_id) const override;
  absl::StatusOr<Changes> ContainerChanges(absl::string_view container_id,
                                           const ChangeLimits& limits,
                                           const Operation& operation) const override {
    return roots_->ChangesOf(container_id, limits, operation);
  }
  void MeasureContainers(const std::vector<std::string>& keys) override { roots_->Measure(keys); }
  FsUsage ContainersUsage() const override;
  absl::StatusOr<RootFs> PrepareContainer(absl::string_view container_id,
                                          absl::string_view image_id) override;
  absl::Status Rekey(absl::string_view key, absl::string_view container_id) override {
    return roots_->Rekey(key, container_id);
  }
  absl::StatusOr<RootFs> PrepareView(absl::string_view key, absl::string_view image_id) override;
  absl::Status ReleaseContainer(absl::string_view key) override;
  std::vector<std::string> PinnedKeys() const override;
  absl::StatusOr<std::vector<HistoryEntry>> History(absl::string_view reference) const override;
  absl::StatusOr<std::vector<std::string>> Import(int fd,
                                                  const std::string& name,
                                                  const Operation& operation) override;
  absl::Status Export(const std::vector<std::string>& references,
                      int fd,
                      const Operation& operation) override;
  absl::Status CollectGarbage() override;

 private:
  // What becomes of layers as they came, compressed.
  enum class Blobs { kKept, kDropped };
  struct SharedPull;
  class LayerFetch;
  class EarlyLayers;

  ImageStoreImpl(ImageStoreOptions options, std::unique_ptr<Registry> registry);
  // Takes the root over and brings it into order: lock, catalog, layers, roots, strangers. Then
  // starts the background thread.
  absl::Status Start();
  // Sets form_. InvalidArgument for a name that no form has.
  absl::Status ChooseLayerForm();
  // True when the machine, not just the daemon, went down while the store was open. Records that it
  // is open now.
  absl::StatusOr<bool> WasUncleanShutdown();
  // Has a file take up room that a full disk's deletes may need.
  void MakeReserve();
  // The background thread: collects, retries, verifies what is suspect; at WakeBackground() and by
  // itself.
  void Background();
  void WakeBackground();
  // Waits for threads of pulls that are at their end.
  void JoinEndedPulls();
  UnpackOptions UnpackLimits() const;

  // The broker for all pulls that run at a time. It ends when the last of them lets go.
  absl::StatusOr<std::shared_ptr<UnpackBroker>> Broker();
  // The pull of this key that is under way, or a new one; one more waits for it.
  absl::Status JoinPull(const std::string& key,
                        const ImageReference& reference,
                        const RegistryAuth& auth,
                        std::shared_ptr<SharedPull>& shared);
  // Starts the thread that does the pull and tells its waiters.
  absl::Status StartPull(const std::string& key,
                         const ImageReference& reference,
                         const RegistryAuth& auth,
                         std::shared_ptr<SharedPull> shared) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The pull itself. `broker` gets one that was started ahead of the first layer.
  absl::StatusOr<std::string> RunPull(const ImageReference& reference,
                                      const RegistryAuth& auth,
                                      const Operation& operation,
                                      std::shared_ptr<UnpackBroker>& broker);
  // Fetches the layers that are missing, syncs, commits: the one way into the store.
  absl::StatusOr<std::string> Ingest(const ResolvedImage& image,
                                     RegistrySession& session,
                                     StoreSync& sync,
                                     EarlyLayers& early,
                                     const std::vector<std::string>& names,
                                     Blobs blobs,
                                     const Operation& operation);
  // Begins the first layers, except those that exist or that a pull is fetching.
  void BeginEarly(const std::vector<Descriptor>& layers,
                  RegistrySession& session,
                  StoreSync& sync,
                  const Operation& operation,
                  EarlyLayers& early);
  // Leases every layer of the image, made in parallel where they are not there; by diff_id. The
  // first failure ends the others.
  absl::Status FetchLayers(const ResolvedImage& image,
                           RegistrySession& session,
                           StoreSync& sync,
                           EarlyLayers& early,
                           Blobs blobs,
                           const Operation& operation,
                           std::map<std::string, LayerStore::Lease>& leases);
  // Leases the chain's layer of inherited directories, if it needs one.
  absl::Status MakeInheritedDirs(const std::vector<std::string>& diff_ids,
                                 const Operation& operation,
                                 std::map<std::string, LayerStore::Lease>& leases);
  // Streams a layer that was not kept from a registry that the image has a name of.
  absl::Status FetchAgain(const ImageRecord& image,
                          const Descriptor& layer,
                          const std::function<absl::Status(absl::string_view)>& sink,
                          const Operation& operation);
  // By image id: the names that it is exported with.
  absl::StatusOr<std::map<std::string, std::vector<std::string>>> ExportedNames(
      const std::vector<std::string>& references);
  // Takes in what Import() has extracted to `dir`.
  absl::StatusOr<std::vector<std::string>> ImportArchive(const std::string& dir,
                                                         const std::string& tag,
                                                         const Operation& operation);

  // Of what is pulled.
  Blobs PulledBlobs() const { return options_.keep_layer_blobs ? Blobs::kKept : Blobs::kDropped; }

  const ImageStoreOptions options_;
  const StorePaths paths_;
  std::unique_ptr<Registry> registry_;
  // The form of new layers of an image that has so many.
  const LayerForm& FormFor(size_t layers) const;
  const LayerForm* form_ = nullptr;  // wanted, and possible; set by Start()
  UniqueFd lock_;
  UniqueFd unpacker_;  // the program: an upgrade does not change it under this daemon
  std::unique_ptr<ImageCatalog> catalog_;
  std::unique_ptr<LayerStore> layers_;
  std::unique_ptr<RootStore> roots_;
  Slots unpacks_;
  BlobsUnderWay under_way_;
  absl::Mutex starting_broker_;
  std::weak_ptr<UnpackBroker> broker_ ABSL_GUARDED_BY(starting_broker_);
  absl::Mutex collecting_;  // one round at a time, so that CollectGarbage() returns when it is done

  CancelSource closing_source_;  // cancelled after closing_ is set, with no lock held
  mutable absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<SharedPull>> pulls_ ABSL_GUARDED_BY(mutex_);
  std::map<int64_t, Thread> pull_threads_ ABSL_GUARDED_BY(mutex_);
  std::vector<Thread> ended_pulls_ ABSL_GUARDED_BY(mutex_);
  int64_t next_pull_ ABSL_GUARDED_BY(mutex_) = 0;
  bool woken_ ABSL_GUARDED_BY(mutex_) = true;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  Thread background_;
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_IMAGE_IMAGE_STORE_IMPL_H_
