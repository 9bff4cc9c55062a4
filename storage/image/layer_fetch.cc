#include "storage/image/layer_fetch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "base/utf8.h"
#include "storage/store/inherited_dirs.h"

namespace crisp::storage {
namespace {

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

absl::StatusOr<UniqueFd> MakeLayerTarget(const StorePaths& paths,
                                         int64_t number,
                                         const LayerForm& form) {
  CRISP_RETURN_IF_ERROR(MakeDirs(paths.LayerDir(number), 0700));
  return form.MakeTarget(paths.LayerDir(number));
}

ImageStoreImpl::LayerFetch::LayerFetch(ImageStoreImpl& store,
                                       RegistrySession& session,
                                       StoreSync& sync,
                                       int64_t number,
                                       Descriptor blob,
                                       const LayerForm& form,
                                       Blobs blob_is)
    : store_(store),
      session_(session),
      sync_(sync),
      number_(number),
      blob_(std::move(blob)),
      blob_is_(blob_is),
      form_(form),
      spool_(absl::StrCat(store.paths_.ingest(), "/", number)) {}

ImageStoreImpl::LayerFetch::~LayerFetch() {
  early_ = nullptr;
  if (file_) (void)unlink(spool_.c_str());
  if (!settled_) (void)store_.layers_->Discard(number_);
}

absl::Status ImageStoreImpl::LayerFetch::Begin(const Operation& operation,
                                               BlobsUnderWay::Hold hold) {
  CRISP_ASSIGN_OR_RETURN(
      early_, EarlyFetch::Begin([this](const Operation& until) { return Make(until); }, operation,
                                std::move(hold)));
  return absl::OkStatus();
}

absl::StatusOr<LayerRecord> ImageStoreImpl::LayerFetch::Finish(const std::string& diff_id,
                                                               const Operation& operation) {
  CRISP_RETURN_IF_ERROR(early_ != nullptr ? early_->Wait(operation) : Make(operation));
  absl::StatusOr<LayerRecord> record = Settle(diff_id);
  settled_ = record.ok();
  return record;
}

// If bytes are not the expected ones, another host may have the right ones.
absl::Status ImageStoreImpl::LayerFetch::Make(const Operation& operation) {
  while (true) {
    const absl::Status made = MakeOnce(operation);
    const bool wrong_bytes = absl::IsDataLoss(made) || absl::IsInvalidArgument(made);
    if (!wrong_bytes || !session_.Distrust(blob_)) return made;
    LogWarning("layer_from_another_host", {{"layer", blob_.digest}, {"error", made.ToString()}});
    StartOver();
  }
}

void ImageStoreImpl::LayerFetch::StartOver() {
  target_.reset();
  if (file_) (void)unlink(spool_.c_str());
  file_.reset();
  (void)store_.layers_->Discard(number_);
  number_ = store_.layers_->NextNumber();
  spool_ = absl::StrCat(store_.paths_.ingest(), "/", number_);
  result_ = {};
}

absl::Status ImageStoreImpl::LayerFetch::MakeOnce(const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(target_, MakeLayerTarget(store_.paths_, number_, form_));
  CRISP_RETURN_IF_ERROR(SyncTarget());
  bool have_slot = store_.unpacks_.TryAcquire();
  const auto release = absl::MakeCleanup([&] {
    if (have_slot) store_.unpacks_.Release();
  });
  if (blob_is_ == Blobs::kKept || !have_slot) {
    CRISP_ASSIGN_OR_RETURN(file_, crisp::Open(spool_, O_RDWR | O_CREAT | O_EXCL, 0600));
  }
  if (have_slot) {
    CRISP_RETURN_IF_ERROR(Streamed(operation));
  } else {
    CRISP_RETURN_IF_ERROR(Spool(operation));
    CRISP_RETURN_IF_ERROR(store_.unpacks_.Acquire(operation));
    have_slot = true;
    CRISP_RETURN_IF_ERROR(UnpackSpooled(operation));
  }
  if (!syncs_itself_) sync_.NoteWritten(0, result_.inodes);
  return absl::OkStatus();
}

absl::StatusOr<LayerRecord> ImageStoreImpl::LayerFetch::Settle(const std::string& diff_id) {
  if (result_.diff_id != diff_id) {
    return absl::DataLossError(absl::StrCat("layer ", blob_.digest, ": unpacks to ",
                                            result_.diff_id, ", the config says ", diff_id));
  }
  CRISP_RETURN_IF_ERROR(WriteDirList(store_.paths_.ImplicitDirs(number_), result_.implicit_dirs));
  CRISP_RETURN_IF_ERROR(WriteDirList(store_.paths_.WhiteoutDirs(number_), result_.whiteout_dirs));
  if (blob_is_ == Blobs::kKept) {
    const std::string kept = store_.paths_.Blob(blob_.digest);
    if (rename(spool_.c_str(), kept.c_str()) != 0) {
      return ErrnoError(errno, absl::StrCat("rename to ", kept));
    }
  }
  LayerRecord record{
      .diff_id = diff_id,
      .number = number_,
      .blob_digest = blob_.digest,
      .blob_size = blob_.size,
      .blob_kept = blob_is_ == Blobs::kKept,
      .archive_bytes = result_.archive_bytes,
      .opaque_root = result_.opaque_root,
      .facts = {.inodes = result_.inodes, .bytes = result_.bytes, .disk_bytes = result_.disk_bytes},
      .form = &form_};
  CRISP_ASSIGN_OR_RETURN(record.facts.seal,
                         form_.Seal(store_.paths_.LayerDir(number_), target_.get()));
  // One that cannot be used is to fail the pull, not a container.
  CRISP_RETURN_IF_ERROR(store_.layers_->Root(record).status());
  if (syncs_itself_) CRISP_RETURN_IF_ERROR(SyncFolder());
  return record;
}

absl::Status ImageStoreImpl::LayerFetch::SyncTarget() {
  const std::vector<std::string> paths = form_.SyncSet(store_.paths_.LayerDir(number_));
  syncs_itself_ = !paths.empty();
  return AddToSync(paths);
}

// Files before the directories that name them.
absl::Status ImageStoreImpl::LayerFetch::SyncFolder() {
  std::vector<std::string> paths;
  if (!result_.implicit_dirs.empty()) paths.push_back(store_.paths_.ImplicitDirs(number_));
  if (!result_.whiteout_dirs.empty()) paths.push_back(store_.paths_.WhiteoutDirs(number_));
  if (blob_is_ == Blobs::kKept)
    paths.insert(paths.end(), {store_.paths_.Blob(blob_.digest), store_.paths_.blobs()});
  paths.push_back(store_.paths_.LayerDir(number_));
  return AddToSync(paths);
}

absl::Status ImageStoreImpl::LayerFetch::AddToSync(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, crisp::Open(path, O_RDONLY));
    CRISP_RETURN_IF_ERROR(sync_.Add(number_, fd.get()));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<LayerUnpack>> ImageStoreImpl::LayerFetch::StartUnpack() {
  CRISP_ASSIGN_OR_RETURN(broker_, store_.Broker());
  return LayerUnpack::Start(*broker_, form_, target_.get(), store_.UnpackLimits());
}

absl::Status ImageStoreImpl::LayerFetch::Fetch(
    const std::function<absl::Status(absl::string_view)>& sink, const Operation& operation) {
  Gather pieces(sink);
  CRISP_RETURN_IF_ERROR(session_.FetchBlob(
      blob_, [&](absl::string_view bytes) { return pieces.Add(bytes); }, operation));
  return pieces.Flush();
}

absl::Status ImageStoreImpl::LayerFetch::Streamed(const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(const std::unique_ptr<LayerUnpack> unpack, StartUnpack());
  const auto sink = [&](absl::string_view bytes) -> absl::Status {
    if (file_) CRISP_RETURN_IF_ERROR(WriteAll(file_.get(), bytes, spool_));
    CRISP_RETURN_IF_ERROR(InLayer(unpack->Write(bytes, operation)));
    sync_.NoteWritten(bytes.size());
    return absl::OkStatus();
  };
  CRISP_RETURN_IF_ERROR(Fetch(sink, operation));
  return FinishUnpack(*unpack, operation);
}

absl::Status ImageStoreImpl::LayerFetch::InLayer(const absl::Status& status) const {
  return Annotate(status, absl::StrCat("layer ", blob_.digest));
}

absl::Status ImageStoreImpl::LayerFetch::FinishUnpack(LayerUnpack& unpack,
                                                      const Operation& operation) {
  absl::StatusOr<UnpackResult> result = unpack.Finish(operation);
  if (!result.ok()) return InLayer(result.status());
  result_ = *std::move(result);
  if (!result_.dropped_xattrs.empty()) {
    LogInfo("layer_attributes_dropped",
            {{"layer", blob_.digest},
             {"attributes", ShownBytes(absl::StrJoin(result_.dropped_xattrs, ","))}});
  }
  return absl::OkStatus();
}

absl::Status ImageStoreImpl::LayerFetch::Spool(const Operation& operation) {
  return Fetch([&](absl::string_view bytes) { return WriteAll(file_.get(), bytes, spool_); },
               operation);
}

absl::Status ImageStoreImpl::LayerFetch::UnpackSpooled(const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(const std::unique_ptr<LayerUnpack> unpack, StartUnpack());
  if (lseek(file_.get(), 0, SEEK_SET) != 0) return ErrnoError(errno, absl::StrCat("seek ", spool_));
  std::vector<char> buffer(256 << 10);
  while (true) {
    const ssize_t n = read(file_.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, absl::StrCat("read ", spool_));
    if (n == 0) break;
    CRISP_RETURN_IF_ERROR(
        InLayer(unpack->Write({buffer.data(), static_cast<size_t>(n)}, operation)));
    sync_.NoteWritten(static_cast<uint64_t>(n));
  }
  return FinishUnpack(*unpack, operation);
}

void ImageStoreImpl::EarlyLayers::Add(const std::string& digest,
                                      std::unique_ptr<LayerFetch> layer) {
  absl::MutexLock lock(&mutex_);
  layers_[digest] = std::move(layer);
}

bool ImageStoreImpl::EarlyLayers::Has(const std::string& digest) const {
  absl::MutexLock lock(&mutex_);
  return layers_.count(digest) > 0;
}

std::unique_ptr<ImageStoreImpl::LayerFetch> ImageStoreImpl::EarlyLayers::Take(
    const std::string& digest) {
  absl::MutexLock lock(&mutex_);
  const auto it = layers_.find(digest);
  if (it == layers_.end()) return nullptr;
  std::unique_ptr<LayerFetch> layer = std::move(it->second);
  layers_.erase(it);
  return layer;
}

}  // namespace crisp::storage
