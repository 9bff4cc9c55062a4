// Pulls: joining, making layers in parallel, committing.
#include <algorithm>
#include <atomic>
#include <optional>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/status.h"
#include "base/thread.h"
#include "storage/forms/layer_forms.h"
#include "storage/image/image_store_impl.h"
#include "storage/image/layer_fetch.h"
#include "storage/oci/digest.h"
#include "storage/store/inherited_dirs.h"

namespace crisp::storage {
// One pull that any number of callers wait for. Guarded by the store's mutex.
struct ImageStoreImpl::SharedPull {
  int waiters = 0;
  bool done = false;
  CancelSource source;  // cancelled when nobody waits any more
  absl::StatusOr<std::string> result = absl::UnknownError("not finished");
};

namespace {

// Pulls with an equal key join: the same name with the same credentials.
std::string PullKey(const ImageReference& reference, const RegistryAuth& auth) {
  Hasher hasher;
  for (const std::string* field : {&auth.username, &auth.password, &auth.auth, &auth.server_address,
                                   &auth.identity_token, &auth.registry_token}) {
    hasher.Update(absl::StrCat(field->size(), ":", *field));
  }
  return absl::StrCat(reference.Canonical(), " ", hasher.Finish());
}

}  // namespace

absl::StatusOr<std::string> ImageStoreImpl::Pull(const std::string& reference,
                                                 const RegistryAuth& auth,
                                                 const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(const ImageReference parsed, ImageReference::Parse(reference));
  CRISP_RETURN_IF_ERROR(operation.Check(absl::StrCat("pull ", reference)));
  const std::string key = PullKey(parsed, auth);
  std::shared_ptr<SharedPull> shared;
  CRISP_RETURN_IF_ERROR(
      Annotate(JoinPull(key, parsed, auth, shared), absl::StrCat("pull ", reference)));
  bool abandoned = false;
  absl::StatusOr<std::string> result;
  {
    const OperationWait wait(operation, mutex_);
    absl::MutexLock lock(&mutex_);
    const auto over = [this, &shared] {
      mutex_.AssertReaderHeld();
      return shared->done || closing_;
    };
    if (!wait.Await(absl::Condition(&over)))
      result = operation.Error(absl::StrCat("pull ", reference));
    if (shared->done) {
      result = shared->result;
    } else if (closing_) {
      result = absl::CancelledError("the image store is closing");
    }
    abandoned = --shared->waiters == 0 && !shared->done;
    if (abandoned) pulls_.erase(key);  // a later caller starts anew rather than join a dying one
  }
  if (abandoned) shared->source.Cancel();
  return result;
}

absl::Status ImageStoreImpl::JoinPull(const std::string& key,
                                      const ImageReference& reference,
                                      const RegistryAuth& auth,
                                      std::shared_ptr<SharedPull>& shared) {
  absl::MutexLock lock(&mutex_);
  if (closing_) return absl::CancelledError("the image store is closing");
  std::shared_ptr<SharedPull>& slot = pulls_[key];
  if (slot == nullptr) {
    slot = std::make_shared<SharedPull>();
    if (absl::Status started = StartPull(key, reference, auth, slot); !started.ok()) {
      pulls_.erase(key);  // nobody is to wait for it
      return started;
    }
  }
  shared = slot;
  ++shared->waiters;
  return absl::OkStatus();
}

absl::Status ImageStoreImpl::StartPull(const std::string& key,
                                       const ImageReference& reference,
                                       const RegistryAuth& auth,
                                       std::shared_ptr<SharedPull> shared) {
  const int64_t number = next_pull_++;
  CRISP_ASSIGN_OR_RETURN(
      Thread thread, Thread::Start("pull", [this, number, key, reference, auth, shared] {
        std::shared_ptr<UnpackBroker> broker;  // goes when the callers have their answer
        absl::StatusOr<std::string> result =
            RunPull(reference, auth, shared->source.operation(), broker);
        if (!result.ok()) WakeBackground();
        absl::MutexLock finished(&mutex_);
        shared->result = std::move(result);
        shared->done = true;
        const auto it = pulls_.find(key);
        if (it != pulls_.end() && it->second == shared) pulls_.erase(it);
        const auto self = pull_threads_.find(number);
        ended_pulls_.push_back(std::move(self->second));
        pull_threads_.erase(self);
      }));
  // The thread ends with this lock held by itself, so it finds this.
  pull_threads_[number] = std::move(thread);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<UnpackBroker>> ImageStoreImpl::Broker() {
  absl::MutexLock lock(&starting_broker_);
  std::shared_ptr<UnpackBroker> broker = broker_.lock();
  if (broker == nullptr || !broker->alive()) {
    CRISP_ASSIGN_OR_RETURN(broker,
                           UnpackBroker::Start(absl::StrCat("/proc/self/fd/", unpacker_.get())));
    broker_ = broker;
  }
  return broker;
}

absl::StatusOr<std::string> ImageStoreImpl::RunPull(const ImageReference& reference,
                                                    const RegistryAuth& auth,
                                                    const Operation& operation,
                                                    std::shared_ptr<UnpackBroker>& broker) {
  CRISP_ASSIGN_OR_RETURN(const std::unique_ptr<RegistrySession> session,
                         registry_->Open(reference, auth));
  // There will be layers to unpack: the broker comes up while the registry is asked for them.
  absl::StatusOr<Thread> starting;  // waited for at the end
  if (!catalog_->Find(reference.Canonical()).ok()) {
    starting = Thread::Start("unpack-broker", [&] {
      absl::StatusOr<std::shared_ptr<UnpackBroker>> first = Broker();
      if (first.ok()) broker = *std::move(first);  // else the first layer says why
    });
  }
  CRISP_ASSIGN_OR_RETURN(const std::unique_ptr<StoreSync> sync, StoreSync::Open(options_.root));
  EarlyLayers early;
  CRISP_ASSIGN_OR_RETURN(const ResolvedImage image,
                         session->Resolve(operation, [&](const std::vector<Descriptor>& layers) {
                           BeginEarly(layers, *session, *sync, operation, early);
                         }));
  std::vector<std::string> names = {reference.RepoDigest(image.target.digest)};
  if (const std::string tag = reference.RepoTag(); !tag.empty()) names.push_back(tag);
  return Ingest(image, *session, *sync, early, names, PulledBlobs(), operation);
}

// Which layer a blob is only the config tells; until it is there, the first of those that no layer
// of the store came from are on their way.
void ImageStoreImpl::BeginEarly(const std::vector<Descriptor>& layers,
                                RegistrySession& session,
                                StoreSync& sync,
                                const Operation& operation,
                                EarlyLayers& early) {
  std::map<std::string, BlobsUnderWay::Hold> wanted;
  const size_t most = static_cast<size_t>(std::max<int64_t>(1, options_.max_parallel_downloads));
  for (size_t i = 0; i < std::min(most, layers.size()); ++i) {
    BlobsUnderWay::Hold hold = under_way_.AddFirst(layers[i].digest);
    if (hold != nullptr) wanted[layers[i].digest] = std::move(hold);
  }
  // Looked at afterwards: what is not under way any more is there.
  for (const LayerRecord& record : layers_->Records()) wanted.erase(record.blob_digest);
  for (const Descriptor& layer : layers) {
    const auto it = wanted.find(layer.digest);
    if (it == wanted.end()) continue;
    auto fetch = std::make_unique<LayerFetch>(*this, session, sync, layers_->NextNumber(), layer,
                                              FormFor(layers.size()), PulledBlobs());
    // If no thread can be made, it is not early.
    if (fetch->Begin(operation, std::move(it->second)).ok())
      early.Add(layer.digest, std::move(fetch));
    wanted.erase(it);
  }
}

absl::Status ImageStoreImpl::FetchLayers(const ResolvedImage& image,
                                         RegistrySession& session,
                                         StoreSync& sync,
                                         EarlyLayers& early,
                                         Blobs blobs,
                                         const Operation& operation,
                                         std::map<std::string, LayerStore::Lease>& leases) {
  absl::Mutex mutex;
  absl::Status first_error;
  std::atomic<bool> failed{false};
  std::shared_ptr<UnpackBroker> broker;  // that the first layer started serves the others too
  // The first failure stops the rest; outside cancellation keeps its own error.
  CancelSource failure(operation);
  const Operation until_failure = failure.operation();
  const std::vector<std::string>& diff_ids = image.image_config.diff_ids;
  auto fetch_one = [&](size_t i) {
    if (failed) return;
    const BlobsUnderWay::Hold hold = under_way_.Add(image.layers[i].digest);
    auto build = [&](int64_t number) -> absl::StatusOr<LayerRecord> {
      CRISP_ASSIGN_OR_RETURN(const std::shared_ptr<UnpackBroker> started, Broker());
      {
        absl::MutexLock lock(&mutex);
        broker = started;
      }
      std::unique_ptr<LayerFetch> fetch = early.Take(image.layers[i].digest);
      if (fetch == nullptr) {
        fetch = std::make_unique<LayerFetch>(*this, session, sync, number, image.layers[i],
                                             FormFor(image.layers.size()), blobs);
      }
      return fetch->Finish(diff_ids[i], until_failure);
    };
    auto acquire = [&]() -> absl::StatusOr<LayerStore::Lease> {
      if (!early.Has(image.layers[i].digest)) {
        CRISP_RETURN_IF_ERROR(under_way_.AwaitFirst(image.layers[i].digest, until_failure));
      }
      return layers_->Acquire(diff_ids[i], build, until_failure);
    };
    const absl::StatusOr<LayerStore::Lease> lease = acquire();
    {
      absl::MutexLock lock(&mutex);
      if (!lease.ok()) {
        if (!failed.exchange(true)) first_error = lease.status();
      } else if (!leases.emplace(diff_ids[i], *lease).second) {
        layers_->Release(diff_ids[i]);  // the same layer twice in one image
      }
    }
    if (!lease.ok()) failure.Cancel();
  };
  const auto parallel = static_cast<size_t>(std::max<int64_t>(1, options_.max_parallel_downloads));
  ParallelFor("fetch-layers", diff_ids.size(), parallel, fetch_one);
  CRISP_RETURN_IF_ERROR(operation.Check("pull"));
  return first_error;
}

absl::Status ImageStoreImpl::MakeInheritedDirs(const std::vector<std::string>& diff_ids,
                                               const Operation& operation,
                                               std::map<std::string, LayerStore::Lease>& leases) {
  std::vector<InheritedDirs::Layer> chain;
  for (const std::string& diff_id : diff_ids) {
    const LayerRecord& record = leases.at(diff_id).record;
    CRISP_ASSIGN_OR_RETURN(std::vector<std::string> implicit,
                           ReadDirList(paths_.ImplicitDirs(record.number)));
    CRISP_ASSIGN_OR_RETURN(std::vector<std::string> whiteouts,
                           ReadDirList(paths_.WhiteoutDirs(record.number)));
    CRISP_ASSIGN_OR_RETURN(Lower root, layers_->Root(record));
    chain.push_back({.root = std::move(root),
                     .implicit_dirs = std::move(implicit),
                     .whiteout_dirs = std::move(whiteouts)});
  }
  InheritedDirs inherited(std::move(chain));
  CRISP_RETURN_IF_ERROR(inherited.Find());
  if (inherited.empty()) return absl::OkStatus();
  const std::string key = InheritedDirsKey(diff_ids);
  auto build = [&](int64_t number) -> absl::StatusOr<LayerRecord> {
    auto discard = absl::MakeCleanup([&] { layers_->TrashSurely(paths_.LayerDir(number)); });
    CRISP_ASSIGN_OR_RETURN(const UniqueFd target, MakeLayerTarget(paths_, number, Directories()));
    CRISP_ASSIGN_OR_RETURN(const TreeCount count, inherited.Make(target.get()));
    std::move(discard).Cancel();
    return LayerRecord{.diff_id = key,
                       .number = number,
                       .facts = {.inodes = count.inodes, .disk_bytes = count.disk_bytes},
                       .form = &Directories()};
  };
  CRISP_ASSIGN_OR_RETURN(const LayerStore::Lease lease, layers_->Acquire(key, build, operation));
  leases.emplace(key, lease);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ImageStoreImpl::Ingest(const ResolvedImage& image,
                                                   RegistrySession& session,
                                                   StoreSync& sync,
                                                   EarlyLayers& early,
                                                   const std::vector<std::string>& names,
                                                   Blobs blobs,
                                                   const Operation& operation) {
  if (image.layers.size() != image.image_config.diff_ids.size()) {
    return absl::InvalidArgumentError("manifest and config differ in the number of layers");
  }
  std::map<std::string, LayerStore::Lease> leases;
  auto release = absl::MakeCleanup([&] {
    for (const auto& [diff_id, lease] : leases) layers_->Release(diff_id);
  });
  CRISP_RETURN_IF_ERROR(FetchLayers(image, session, sync, early, blobs, operation, leases));
  CRISP_RETURN_IF_ERROR(MakeInheritedDirs(image.image_config.diff_ids, operation, leases));
  std::vector<LayerRecord> fresh;
  std::vector<int64_t> numbers;
  for (const auto& [diff_id, lease] : leases) {
    if (lease.committed) continue;
    fresh.push_back(lease.record);
    numbers.push_back(lease.record.number);
  }
  // Everything under the names that are about to appear, once per image.
  if (!fresh.empty()) CRISP_RETURN_IF_ERROR(sync.Finish(numbers, paths_.layers()));
  CRISP_RETURN_IF_ERROR(operation.Check("pull"));
  std::optional<ImageCatalog::Index> index;
  if (image.target.digest != image.manifest.digest) {
    index = {image.target.digest, image.target.media_type, image.target_bytes};
  }
  CRISP_RETURN_IF_ERROR(
      catalog_->Commit(image.config_bytes, image.manifest_bytes, index, names, fresh, absl::Now()));
  layers_->MarkCommitted(fresh);
  return Sha256Digest(image.config_bytes);
}

}  // namespace crisp::storage
