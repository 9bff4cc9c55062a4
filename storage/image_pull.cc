// Pulls: joining, fetching layers in parallel, committing.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <functional>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "storage/digest.h"
#include "storage/image_store_impl.h"
#include "storage/inherited_dirs.h"
#include "storage/layer_unpack.h"

namespace crisp::storage {
namespace {

absl::StatusOr<UniqueFd> MakeLayerFs(const StorePaths& paths, int64_t number) {
  CRISP_RETURN_IF_ERROR(MakeDirs(paths.LayerDir(number), 0700));
  const std::string fs = paths.LayerFs(number);
  CRISP_RETURN_IF_ERROR(MakeDirs(fs, 0755));
  if (chmod(fs.c_str(), 0755) != 0) return ErrnoError(errno, absl::StrCat("chmod ", fs));
  return crisp::Open(fs, O_RDONLY | O_DIRECTORY);
}

absl::StatusOr<UniqueFd> MakeLayerImage(const StorePaths& paths, int64_t number) {
  CRISP_RETURN_IF_ERROR(MakeDirs(paths.LayerDir(number), 0700));
  return crisp::Open(paths.LayerImage(number), O_RDWR | O_CREAT | O_EXCL, 0600);
}

// Hands bytes on in larger pieces: what receives them costs a few system calls and a wake-up each.
class Gather {
 public:
  using Sink = std::function<absl::Status(absl::string_view)>;
  explicit Gather(Sink sink) : sink_(std::move(sink)) { pending_.reserve(kPiece); }

  absl::Status Add(absl::string_view bytes) {
    if (pending_.size() + bytes.size() > kPiece) CRISP_RETURN_IF_ERROR(Flush());
    if (bytes.size() >= kPiece) return sink_(bytes);
    absl::StrAppend(&pending_, bytes);
    return absl::OkStatus();
  }
  absl::Status Flush() {
    if (pending_.empty()) return absl::OkStatus();
    CRISP_RETURN_IF_ERROR(sink_(pending_));
    pending_.clear();
    return absl::OkStatus();
  }

 private:
  static constexpr size_t kPiece = 128 << 10;
  const Sink sink_;
  std::string pending_;
};

}  // namespace

// One pull that any number of callers wait for. Guarded by the store's mutex.
struct ImageStoreImpl::PullOperation {
  int waiters = 0;
  bool done = false;
  std::atomic<bool> abandoned{false};
  absl::StatusOr<std::string> result = absl::UnknownError("not finished");
};

// Makes one layer: downloads, verifies, unpacks; all overlapped when an unpacking slot is free, else
// the download goes to disk first. Failure leaves nothing but trash.
class ImageStoreImpl::LayerFetch {
 public:
  LayerFetch(ImageStoreImpl& store,
             RegistrySession& session,
             StoreSync& sync,
             Descriptor blob,
             std::string diff_id,
             std::unique_ptr<EarlyFetch> early,
             bool keep_blob)
      : store_(store),
        session_(session),
        sync_(sync),
        blob_(std::move(blob)),
        diff_id_(std::move(diff_id)),
        early_(std::move(early)),
        keep_blob_(keep_blob),
        image_(store.layer_images_) {}

  absl::StatusOr<LayerRecord> Run(int64_t number, const Cancel& cancel) {
    number_ = number;
    spool_ = absl::StrCat(store_.paths_.ingest(), "/", number);
    absl::StatusOr<LayerRecord> record = Make(cancel);
    (void)unlink(spool_.c_str());
    if (!record.ok()) (void)store_.layers_->Discard(number);
    if (have_slot_) store_.unpacks_.Release();
    return record;
  }

 private:
  absl::StatusOr<LayerRecord> Make(const Cancel& cancel) {
    CRISP_ASSIGN_OR_RETURN(target_, image_ ? MakeLayerImage(store_.paths_, number_)
                                           : MakeLayerFs(store_.paths_, number_));
    have_slot_ = store_.unpacks_.TryAcquire();
    if (keep_blob_ || !have_slot_) {
      CRISP_ASSIGN_OR_RETURN(file_, crisp::Open(spool_, O_RDWR | O_CREAT | O_EXCL, 0600));
    }
    CRISP_RETURN_IF_ERROR(have_slot_ ? Streamed(cancel) : Spooled(cancel));
    if (result_.diff_id != diff_id_) {
      return absl::DataLossError(absl::StrCat("layer ", blob_.digest, ": unpacks to ",
                                              result_.diff_id, ", the config says ", diff_id_));
    }
    sync_.Wrote(0, result_.inodes);
    CRISP_RETURN_IF_ERROR(
        WriteDirList(store_.paths_.ImplicitDirs(number_), result_.implicit_dirs));
    if (keep_blob_) {
      const std::string kept = store_.paths_.Blob(blob_.digest);
      if (rename(spool_.c_str(), kept.c_str()) != 0) {
        return ErrnoError(errno, absl::StrCat("rename to ", kept));
      }
    }
    LayerRecord record{.diff_id = diff_id_,
                       .number = number_,
                       .blob_digest = blob_.digest,
                       .blob_size = blob_.size,
                       .blob_kept = keep_blob_,
                       .archive_bytes = result_.archive_bytes,
                       .inodes = result_.inodes,
                       .bytes = result_.bytes,
                       .disk_bytes = result_.disk_bytes};
    if (!image_) return record;
    CRISP_ASSIGN_OR_RETURN(record.image, SummarizeErofs(target_.get()));
    // One that cannot be mounted is to fail the pull, not a container.
    CRISP_RETURN_IF_ERROR(store_.layers_->Root(record).status());
    return record;
  }

  absl::StatusOr<std::unique_ptr<LayerUnpack>> StartUnpack() {
    CRISP_ASSIGN_OR_RETURN(const std::shared_ptr<UnpackBroker> broker, store_.Broker());
    return LayerUnpack::Start(*broker, target_.get(), {.image = image_});
  }

  absl::Status Fetch(Gather& pieces, const Cancel& cancel) {
    const auto sink = [&](absl::string_view bytes) { return pieces.Add(bytes); };
    CRISP_RETURN_IF_ERROR(early_ != nullptr ? early_->Run(sink, cancel)
                                            : session_.FetchBlob(blob_, sink, cancel));
    return pieces.Flush();
  }

  absl::Status Streamed(const Cancel& cancel) {
    CRISP_ASSIGN_OR_RETURN(const std::unique_ptr<LayerUnpack> unpack, StartUnpack());
    Gather pieces([&](absl::string_view bytes) -> absl::Status {
      if (file_) CRISP_RETURN_IF_ERROR(WriteAll(file_.get(), bytes, spool_));
      CRISP_RETURN_IF_ERROR(unpack->Write(bytes, cancel));
      sync_.Wrote(bytes.size());
      return absl::OkStatus();
    });
    CRISP_RETURN_IF_ERROR(Fetch(pieces, cancel));
    CRISP_ASSIGN_OR_RETURN(result_, unpack->Finish(cancel));
    return absl::OkStatus();
  }

  absl::Status Spooled(const Cancel& cancel) {
    Gather pieces([&](absl::string_view bytes) { return WriteAll(file_.get(), bytes, spool_); });
    CRISP_RETURN_IF_ERROR(Fetch(pieces, cancel));
    CRISP_RETURN_IF_ERROR(store_.unpacks_.Acquire(cancel));
    have_slot_ = true;
    CRISP_ASSIGN_OR_RETURN(const std::unique_ptr<LayerUnpack> unpack, StartUnpack());
    if (lseek(file_.get(), 0, SEEK_SET) != 0) return ErrnoError(errno, absl::StrCat("seek ", spool_));
    std::vector<char> buffer(256 << 10);
    while (true) {
      const ssize_t n = read(file_.get(), buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError(errno, absl::StrCat("read ", spool_));
      if (n == 0) break;
      CRISP_RETURN_IF_ERROR(unpack->Write({buffer.data(), static_cast<size_t>(n)}, cancel));
      sync_.Wrote(static_cast<uint64_t>(n));
    }
    CRISP_ASSIGN_OR_RETURN(result_, unpack->Finish(cancel));
    return absl::OkStatus();
  }

  ImageStoreImpl& store_;
  RegistrySession& session_;
  StoreSync& sync_;
  const Descriptor blob_;
  const std::string diff_id_;
  const std::unique_ptr<EarlyFetch> early_;  // or null
  const bool keep_blob_;
  const bool image_;
  int64_t number_ = 0;
  std::string spool_;
  UniqueFd target_;
  UniqueFd file_;
  bool have_slot_ = false;
  UnpackResult result_;
};

namespace {

// Who may join whose pull: the same name with the same credentials.
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
                                                 const Cancel& cancel) {
  CRISP_ASSIGN_OR_RETURN(const ImageReference parsed, ImageReference::Parse(reference));
  CRISP_RETURN_IF_ERROR(cancel.Check(absl::StrCat("pull ", reference)));
  const std::string key = PullKey(parsed, auth);
  absl::MutexLock lock(&mutex_);
  if (closing_) return absl::CancelledError("the image store is closing");
  std::shared_ptr<PullOperation>& slot = pulls_[key];
  if (slot == nullptr) {
    slot = std::make_shared<PullOperation>();
    ++running_pulls_;
    std::thread([this, key, parsed, auth, operation = slot] {
      std::shared_ptr<UnpackBroker> broker;  // goes when the callers have their answer
      const Cancel until_nobody_waits(absl::InfiniteFuture(),
                                      [operation] { return operation->abandoned.load(); });
      absl::StatusOr<std::string> result = RunPull(parsed, auth, until_nobody_waits, broker);
      if (!result.ok()) Kick();
      absl::MutexLock finished(&mutex_);
      operation->result = std::move(result);
      operation->done = true;
      const auto it = pulls_.find(key);
      if (it != pulls_.end() && it->second == operation) pulls_.erase(it);
      --running_pulls_;
      changed_.SignalAll();
    }).detach();
  }
  const std::shared_ptr<PullOperation> operation = slot;
  ++operation->waiters;
  absl::Status left;
  while (!operation->done && left.ok()) {
    const absl::Time until =
        std::min(cancel.deadline(), absl::Now() + absl::Milliseconds(50));
    changed_.WaitWithDeadline(&mutex_, until);
    left = cancel.Check(absl::StrCat("pull ", reference));
    if (left.ok() && closing_) left = absl::CancelledError("the image store is closing");
  }
  if (--operation->waiters == 0 && !operation->done) {
    operation->abandoned = true;
    pulls_.erase(key);  // a later caller starts anew rather than join a dying one
  }
  return operation->done ? operation->result : left;
}

absl::StatusOr<std::shared_ptr<UnpackBroker>> ImageStoreImpl::Broker() {
  absl::MutexLock lock(&starting_broker_);
  std::shared_ptr<UnpackBroker> broker = broker_.lock();
  if (broker == nullptr || !broker->alive()) {
    CRISP_ASSIGN_OR_RETURN(
        broker, UnpackBroker::Start(absl::StrCat("/proc/self/fd/", unpacker_.get())));
    broker_ = broker;
  }
  return broker;
}

absl::StatusOr<std::string> ImageStoreImpl::RunPull(const ImageReference& reference,
                                                    const RegistryAuth& auth,
                                                    const Cancel& cancel,
                                                    std::shared_ptr<UnpackBroker>& broker) {
  CRISP_ASSIGN_OR_RETURN(const std::unique_ptr<RegistrySession> session,
                         registry_->Open(reference, auth));
  // There will be layers to unpack: the broker comes up while the registry is asked for them.
  if (!catalog_->Find(reference.Canonical()).ok()) {
    CRISP_ASSIGN_OR_RETURN(broker, Broker());
  }
  EarlyFetches early;
  CRISP_ASSIGN_OR_RETURN(const ResolvedImage image,
                         session->Resolve(cancel, [&](const std::vector<Descriptor>& layers) {
                           FetchEarly(layers, *session, cancel, early);
                         }));
  std::vector<std::string> names = {reference.RepoDigest(image.target.digest)};
  if (const std::string tag = reference.RepoTag(); !tag.empty()) names.push_back(tag);
  return Ingest(image, *session, early, names, options_.keep_layer_blobs, cancel);
}

// Which layer a blob is only the config tells; until it is there, the first of those that no layer of the
// store came from are on their way.
void ImageStoreImpl::FetchEarly(const std::vector<Descriptor>& layers,
                                RegistrySession& session,
                                const Cancel& cancel,
                                EarlyFetches& early) {
  std::map<std::string, BlobsUnderWay::Hold> wanted;
  const size_t most = static_cast<size_t>(std::max(1, options_.max_parallel_downloads));
  for (size_t i = 0; i < std::min(most, layers.size()); ++i) {
    BlobsUnderWay::Hold hold = under_way_.AddFirst(layers[i].digest);
    if (hold != nullptr) wanted[layers[i].digest] = std::move(hold);
  }
  // Looked at afterwards: what is not under way any more is there.
  for (const LayerRecord& record : layers_->Records()) wanted.erase(record.blob_digest);
  for (const Descriptor& layer : layers) {
    const auto it = wanted.find(layer.digest);
    if (it == wanted.end()) continue;
    early.Begin(session, layer, cancel, std::move(it->second));
    wanted.erase(it);
  }
}

absl::Status ImageStoreImpl::FetchLayers(const ResolvedImage& image,
                                         RegistrySession& session,
                                         EarlyFetches& early,
                                         StoreSync& sync,
                                         bool keep_blobs,
                                         const Cancel& cancel,
                                         std::map<std::string, LayerStore::Lease>& leases) {
  absl::Mutex mutex;
  absl::Status first_error;
  std::atomic<bool> failed{false};
  std::atomic<size_t> next{0};
  std::shared_ptr<UnpackBroker> broker;  // that the first layer started serves the others too
  // The first failure stops the rest; outside cancellation keeps its own error.
  const Cancel until_failure(cancel.deadline(), [&] { return failed || !cancel.Check("pull").ok(); });
  const std::vector<std::string>& diff_ids = image.image_config.diff_ids;
  auto work = [&] {
    for (size_t i = next++; i < diff_ids.size() && !failed; i = next++) {
      const BlobsUnderWay::Hold hold = under_way_.Add(image.layers[i].digest);
      auto build = [&](int64_t number) -> absl::StatusOr<LayerRecord> {
        CRISP_ASSIGN_OR_RETURN(const std::shared_ptr<UnpackBroker> started, Broker());
        {
          absl::MutexLock lock(&mutex);
          broker = started;
        }
        return LayerFetch(*this, session, sync, image.layers[i], diff_ids[i],
                          early.Take(image.layers[i].digest), keep_blobs)
            .Run(number, until_failure);
      };
      absl::StatusOr<LayerStore::Lease> lease =
          layers_->Acquire(diff_ids[i], build, until_failure);
      absl::MutexLock lock(&mutex);
      if (!lease.ok()) {
        if (!failed.exchange(true)) first_error = lease.status();
      } else if (!leases.emplace(diff_ids[i], *lease).second) {
        layers_->Release(diff_ids[i]);  // the same layer twice in one image
      }
    }
  };
  const size_t parallel =
      std::min<size_t>(std::max(1, options_.max_parallel_downloads), diff_ids.size());
  std::vector<std::thread> threads;
  for (size_t i = 1; i < parallel; ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  CRISP_RETURN_IF_ERROR(cancel.Check("pull"));
  return first_error;
}

absl::Status ImageStoreImpl::MakeInheritedDirs(const std::vector<std::string>& diff_ids,
                                               const Cancel& cancel,
                                               std::map<std::string, LayerStore::Lease>& leases) {
  std::vector<InheritedDirs::Layer> chain;
  for (const std::string& diff_id : diff_ids) {
    const LayerRecord& record = leases.at(diff_id).record;
    CRISP_ASSIGN_OR_RETURN(std::vector<std::string> implicit,
                           ReadDirList(paths_.ImplicitDirs(record.number)));
    CRISP_ASSIGN_OR_RETURN(std::string fs, layers_->Root(record));
    chain.push_back({.fs = std::move(fs), .implicit_dirs = std::move(implicit)});
  }
  InheritedDirs inherited(std::move(chain));
  CRISP_RETURN_IF_ERROR(inherited.Find());
  if (inherited.empty()) return absl::OkStatus();
  const std::string key = InheritedDirsKey(diff_ids);
  auto build = [&](int64_t number) -> absl::StatusOr<LayerRecord> {
    auto discard = absl::MakeCleanup([&] { (void)layers_->Trash(paths_.LayerDir(number)); });
    CRISP_ASSIGN_OR_RETURN(const UniqueFd target, MakeLayerFs(paths_, number));
    CRISP_ASSIGN_OR_RETURN(const TreeCount count, inherited.Make(target.get()));
    std::move(discard).Cancel();
    return LayerRecord{.diff_id = key,
                       .number = number,
                       .inodes = count.inodes,
                       .disk_bytes = count.disk_bytes};
  };
  CRISP_ASSIGN_OR_RETURN(const LayerStore::Lease lease, layers_->Acquire(key, build, cancel));
  leases.emplace(key, lease);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ImageStoreImpl::Ingest(const ResolvedImage& image,
                                                   RegistrySession& session,
                                                   EarlyFetches& early,
                                                   const std::vector<std::string>& names,
                                                   bool keep_blobs,
                                                   const Cancel& cancel) {
  if (image.layers.size() != image.image_config.diff_ids.size()) {
    return absl::InvalidArgumentError("manifest and config differ in the number of layers");
  }
  std::map<std::string, LayerStore::Lease> leases;
  auto release = absl::MakeCleanup([&] {
    for (const auto& [diff_id, lease] : leases) layers_->Release(diff_id);
  });
  CRISP_ASSIGN_OR_RETURN(const std::unique_ptr<StoreSync> sync, StoreSync::Open(options_.root));
  CRISP_RETURN_IF_ERROR(FetchLayers(image, session, early, *sync, keep_blobs, cancel, leases));
  CRISP_RETURN_IF_ERROR(MakeInheritedDirs(image.image_config.diff_ids, cancel, leases));
  std::vector<LayerRecord> fresh;
  for (const auto& [diff_id, lease] : leases) {
    if (!lease.committed) fresh.push_back(lease.record);
  }
  // Everything under the names that are about to appear, once per image.
  if (!fresh.empty()) CRISP_RETURN_IF_ERROR(sync->Finish());
  CRISP_RETURN_IF_ERROR(cancel.Check("pull"));
  CRISP_RETURN_IF_ERROR(
      catalog_->Commit(image.config_bytes, image.manifest_bytes, names, fresh, absl::Now()));
  layers_->MarkCommitted(fresh);
  return Sha256Digest(image.config_bytes);
}

}  // namespace crisp::storage
