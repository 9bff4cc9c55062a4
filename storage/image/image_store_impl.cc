#include "storage/image/image_store_impl.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "storage/forms/layer_forms.h"
#include "storage/oci/digest.h"
#include "storage/oci/image_reference.h"
#include "storage/registry/http_client.h"
#include "storage/unpack/unpacker_filter.h"

namespace crisp::storage {
namespace {

constexpr off_t kReserveBytes = 4 << 20;
constexpr absl::Duration kBackgroundPeriod = absl::Seconds(10);
constexpr absl::Duration kRetryPeriod = absl::Seconds(1);

int Parallel(int64_t wanted) { return static_cast<int>(std::max<int64_t>(1, wanted)); }

// Makes a new store's folders durable, for pulls sync no more than what they add. Up to the root of
// their file system: what is above may be one that cannot be written, or synced.
absl::Status SyncUpwards(const std::string& folder) {
  dev_t device = 0;
  for (std::string dir = folder;; dir = dir.substr(0, std::max<size_t>(1, dir.rfind('/')))) {
    CRISP_ASSIGN_OR_RETURN(const UniqueFd fd, crisp::Open(dir, O_RDONLY | O_DIRECTORY));
    struct stat st {};
    if (fstat(fd.get(), &st) != 0) return ErrnoError(errno, absl::StrCat("stat ", dir));
    if (dir == folder) device = st.st_dev;
    if (st.st_dev != device) return absl::OkStatus();
    if (fsync(fd.get()) != 0) return ErrnoError(errno, absl::StrCat("sync ", dir));
    if (dir == "/" || dir.rfind('/') == std::string::npos) return absl::OkStatus();
  }
}

// The memory that each of this number of unpackers may have for a zstd frame's window: a share of
// half of the free memory, and at least what every frame is entitled to.
uint64_t WindowShare(int unpackers) {
  constexpr uint64_t kLeast = uint64_t{128} << 20, kMost = uint64_t{2} << 30;
  uint64_t kib = 0;
  const std::string text = ReadFile("/proc/meminfo").value_or("");
  constexpr absl::string_view kKey = "MemAvailable:";
  const size_t at = absl::string_view(text).find(kKey);
  if (at != absl::string_view::npos) {
    absl::string_view value = absl::string_view(text).substr(at + kKey.size());
    value = absl::StripAsciiWhitespace(value.substr(0, value.find("kB")));
    (void)absl::SimpleAtoi(value, &kib);
  }
  return std::clamp((kib << 10) / 2 / static_cast<uint64_t>(unpackers), kLeast, kMost);
}

}  // namespace

bool Slots::TryAcquire() {
  absl::MutexLock lock(&mutex_);
  if (free_ <= 0) return false;
  --free_;
  return true;
}

absl::Status Slots::Acquire(const Operation& operation) {
  const OperationWait wait(operation, mutex_);
  absl::MutexLock lock(&mutex_);
  const auto some = [this] {
    mutex_.AssertReaderHeld();
    return free_ > 0;
  };
  if (!wait.Await(absl::Condition(&some))) return operation.Error("wait to unpack");
  --free_;
  return absl::OkStatus();
}

void Slots::Release() {
  absl::MutexLock lock(&mutex_);
  ++free_;
}

ImageStoreImpl::ImageStoreImpl(ImageStoreOptions options, std::unique_ptr<Registry> registry)
    : options_(std::move(options)),
      paths_{options_.root},
      registry_(std::move(registry)),
      unpacks_(Parallel(options_.max_parallel_unpacks)) {}

absl::StatusOr<std::unique_ptr<ImageStore>> ImageStoreImpl::Open(
    ImageStoreOptions options, std::unique_ptr<Registry> registry) {
  std::unique_ptr<ImageStoreImpl> store(
      new ImageStoreImpl(std::move(options), std::move(registry)));
  CRISP_RETURN_IF_ERROR(Annotate(store->Start(), "open image store"));
  return store;
}

absl::Status ImageStoreImpl::Start() {
  const bool fresh = access(paths_.layers().c_str(), F_OK) != 0;
  CRISP_RETURN_IF_ERROR(MakeDirs(options_.root, 0700));
  // Files of images may be setuid, so nobody else gets near them.
  if (chmod(options_.root.c_str(), 0700) != 0) return ErrnoError(errno, options_.root);
  CRISP_ASSIGN_OR_RETURN(lock_, crisp::Open(options_.root + "/lock", O_RDWR | O_CREAT, 0600));
  if (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(options_.root, ": another process has this store open"));
  }
  CRISP_ASSIGN_OR_RETURN(unpacker_, crisp::Open(options_.unpacker, O_PATH));
  auto make_room = [this] { (void)unlink((options_.root + "/reserve").c_str()); };
  CRISP_ASSIGN_OR_RETURN(catalog_, ImageCatalog::Open(options_.root + "/images.db",
                                                      options_.pinned_images, make_room));
  layers_ = std::make_unique<LayerStore>(paths_, catalog_.get());
  roots_ = std::make_unique<RootStore>(layers_.get(), catalog_.get());
  CRISP_ASSIGN_OR_RETURN(const bool unclean, WasUncleanShutdown());
  const bool listed = !catalog_->Layers().empty() || !catalog_->List().empty();
  CRISP_RETURN_IF_ERROR(
      layers_->Recover(unclean ? LayerStore::LastEnd::kPowerCut : LayerStore::LastEnd::kKnown));
  CRISP_ASSIGN_OR_RETURN(const std::string rooted, catalog_->GetFact("rooted"));
  if (fresh || rooted != "yes") {
    CRISP_RETURN_IF_ERROR(SyncUpwards(paths_.blobs()));
    CRISP_RETURN_IF_ERROR(catalog_->SetFact("rooted", "yes"));
  }
  // Destroying needs to know what containers stand on: they may run on while the catalog is lost.
  CRISP_ASSIGN_OR_RETURN(const bool all_told, roots_->Recover());
  CRISP_ASSIGN_OR_RETURN(const std::vector<std::string> found, ListDir(paths_.layers()));
  if (!listed && !found.empty()) {
    LogWarning(
        "image_catalog_lost",
        {{"layers", absl::StrCat(found.size())},
         {"error", absl::StrCat(options_.root,
                                "/images.db lists nothing: images have to be pulled again")}});
  }
  if (!all_told) {
    LogWarning("unknown_layers_kept",
               {{"error", "containers stand on layers that nothing tells the numbers of"}});
  }
  CRISP_RETURN_IF_ERROR(layers_->TrashStrangers(all_told ? LayerStore::Strangers::kTrashed
                                                         : LayerStore::Strangers::kLayersStay));
  CRISP_RETURN_IF_ERROR(ChooseLayerForm());
  CRISP_ASSIGN_OR_RETURN(background_, Thread::Start("image-store", [this] { Background(); }));
  return absl::OkStatus();
}

absl::Status ImageStoreImpl::ChooseLayerForm() {
  form_ = FindLayerForm(options_.layer_format);
  if (form_ == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("image.layer_format: there is no form \"", options_.layer_format, "\""));
  }
  const absl::Status able = form_->Probe(paths_.ingest());
  if (able.ok()) return absl::OkStatus();
  LogWarning(
      "layers_are_directories",
      {{"wanted", form_->name()}, {"this_kernel_or_disk_cannot", std::string(able.message())}});
  form_ = &Directories();
  return absl::OkStatus();
}

const LayerForm& ImageStoreImpl::FormFor(size_t layers) const {
  return layers <= form_->most_layers() ? *form_ : Directories();
}

// True when the machine (not just the daemon) went down while the store was open.
absl::StatusOr<bool> ImageStoreImpl::WasUncleanShutdown() {
  CRISP_ASSIGN_OR_RETURN(std::string boot, ReadFile("/proc/sys/kernel/random/boot_id"));
  absl::StripAsciiWhitespace(&boot);
  CRISP_ASSIGN_OR_RETURN(const std::string last, catalog_->GetFact("boot_id"));
  CRISP_ASSIGN_OR_RETURN(const std::string clean, catalog_->GetFact("clean"));
  if (last != boot) (void)catalog_->SetFact("boot_id", boot);
  if (clean == "yes") (void)catalog_->SetFact("clean", "no");
  return !last.empty() && last != boot && clean != "yes";
}

ImageStoreImpl::~ImageStoreImpl() {
  {
    absl::MutexLock lock(&mutex_);
    closing_ = true;
  }
  closing_source_.Cancel();
  {
    absl::MutexLock lock(&mutex_);
    const auto ended = [this] {
      mutex_.AssertReaderHeld();
      return pull_threads_.empty();
    };
    mutex_.Await(absl::Condition(&ended));
  }
  background_.Join();
  JoinEndedPulls();
  if (catalog_ != nullptr) (void)catalog_->SetFact("clean", "yes");
}

void ImageStoreImpl::WakeBackground() {
  absl::MutexLock lock(&mutex_);
  woken_ = true;
}

void ImageStoreImpl::JoinEndedPulls() {
  std::vector<Thread> ended;  // each is waited for when it goes, outside of the lock
  absl::MutexLock lock(&mutex_);
  ended.swap(ended_pulls_);
}

UnpackOptions ImageStoreImpl::UnpackLimits() const {
  return {.max_bytes = static_cast<uint64_t>(options_.max_layer_bytes),
          .max_files = static_cast<uint64_t>(options_.max_layer_files),
          .max_window = WindowShare(Parallel(options_.max_parallel_unpacks)),
          .max_cpu_seconds = static_cast<uint64_t>(absl::ToInt64Seconds(options_.max_unpack_cpu)),
          .stall_timeout = options_.stall_timeout};
}

// Deleting needs a few pages of the database's journal: a full disk must not refuse them.
void ImageStoreImpl::MakeReserve() {
  const std::string path = options_.root + "/reserve";
  if (access(path.c_str(), F_OK) == 0) return;
  absl::StatusOr<UniqueFd> fd = crisp::Open(path, O_WRONLY | O_CREAT, 0600);
  if (fd.ok() && posix_fallocate(fd->get(), 0, kReserveBytes) != 0) (void)unlink(path.c_str());
}

void ImageStoreImpl::Background() {
  // Loads things for which the first pull would otherwise wait: configuration, algorithms, a
  // filter.
  (void)HttpClient();
  (void)UnpackerFilter(form_->target());
  const Operation until_closing = closing_source_.operation();
  absl::Duration period = kBackgroundPeriod;
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      const auto wanted = [this] {
        mutex_.AssertReaderHeld();
        return closing_ || woken_;
      };
      mutex_.AwaitWithTimeout(absl::Condition(&wanted), period);
      if (closing_) return;
      woken_ = false;
    }
    if (const absl::Status status = CollectGarbage(); !status.ok()) {
      LogWarning("collect_garbage", {{"error", status.ToString()}});
    }
    period = roots_->HasReleases() ? kRetryPeriod : kBackgroundPeriod;
    MakeReserve();
    JoinEndedPulls();
    if (layers_->VerifyNext(until_closing)) WakeBackground();
  }
}

absl::StatusOr<Image> ImageStoreImpl::Find(absl::string_view reference) const {
  CRISP_ASSIGN_OR_RETURN(const ImagePtr image, catalog_->Find(reference));
  return image->image;
}

std::vector<Image> ImageStoreImpl::List() const {
  std::vector<Image> images;
  for (const ImagePtr& image : catalog_->List()) images.push_back(image->image);
  return images;
}

absl::StatusOr<std::string> TagOf(const std::string& name, absl::string_view what) {
  CRISP_ASSIGN_OR_RETURN(const ImageReference parsed, ImageReference::Parse(name));
  std::string tag = parsed.RepoTag();
  if (!tag.empty()) return tag;
  return absl::InvalidArgumentError(
      absl::StrCat(what, " ", name, ": an image's digest is its own; give a tag"));
}

absl::StatusOr<std::string> ImageStoreImpl::Tag(absl::string_view reference,
                                                const std::string& name) {
  CRISP_ASSIGN_OR_RETURN(const std::string tag, TagOf(name, "tag as"));
  CRISP_ASSIGN_OR_RETURN(const ImagePtr image, catalog_->Find(reference));
  CRISP_RETURN_IF_ERROR(catalog_->AddName(image->image.id, tag));
  return tag;
}

absl::Status ImageStoreImpl::Untag(const std::string& name) {
  CRISP_ASSIGN_OR_RETURN(const std::string tag, TagOf(name, "untag"));
  return catalog_->RemoveName(tag);
}

absl::Status ImageStoreImpl::Remove(absl::string_view reference) {
  const absl::StatusOr<ImagePtr> image = catalog_->Find(reference);
  if (!image.ok()) return absl::OkStatus();
  CRISP_RETURN_IF_ERROR(catalog_->RemoveImage((*image)->image.id));
  WakeBackground();
  return absl::OkStatus();
}

FsUsage ImageStoreImpl::ImageUsage() const {
  FsUsage usage{.mountpoint = options_.root, .timestamp = absl::Now()};
  for (const LayerRecord& layer : layers_->Records()) {
    const LayerUsage kept = layer.form->Usage(layer.facts);
    usage.used_bytes += kept.bytes + (layer.blob_kept ? layer.blob_size : 0);
    usage.inodes_used += kept.inodes;
  }
  for (const ImagePtr& image : catalog_->List()) {
    usage.used_bytes += image->image.config_json.size() + image->manifest_bytes.size();
  }
  return usage;
}

absl::StatusOr<FsUsage> ImageStoreImpl::ContainerUsage(absl::string_view container_id) const {
  return roots_->Usage(container_id);
}

FsUsage ImageStoreImpl::ContainersUsage() const { return roots_->TotalUsage(); }

absl::StatusOr<RootFs> ImageStoreImpl::PrepareContainer(absl::string_view container_id,
                                                        absl::string_view image_id) {
  return roots_->Prepare(container_id, image_id, RootStore::Kind::kContainer);
}

absl::StatusOr<RootFs> ImageStoreImpl::PrepareView(absl::string_view key,
                                                   absl::string_view image_id) {
  return roots_->Prepare(key, image_id, RootStore::Kind::kView);
}

absl::Status ImageStoreImpl::ReleaseContainer(absl::string_view key) {
  CRISP_RETURN_IF_ERROR(roots_->Release(key));
  WakeBackground();
  return absl::OkStatus();
}

std::vector<std::string> ImageStoreImpl::PinnedKeys() const { return roots_->Keys(); }

absl::StatusOr<std::vector<HistoryEntry>> ImageStoreImpl::History(
    absl::string_view reference) const {
  CRISP_ASSIGN_OR_RETURN(const ImagePtr image, catalog_->Find(reference));
  std::map<std::string, LayerRecord> layers;
  for (const LayerRecord& layer : layers_->Records()) layers[layer.diff_id] = layer;
  std::vector<HistoryEntry> history;
  size_t next = 0;
  auto add_layer = [&](HistoryEntry entry) {
    entry.diff_id = image->config.diff_ids[next];
    entry.digest = image->manifest.layers[next].digest;
    entry.size_bytes = image->manifest.layers[next].size;
    entry.unpacked_bytes = layers[entry.diff_id].facts.bytes;
    entry.containers = roots_->UsersOf(entry.diff_id);
    ++next;
    history.push_back(std::move(entry));
  };
  for (const ConfigHistory& step : image->config.history) {
    HistoryEntry entry{.created_by = step.created_by,
                       .comment = step.comment,
                       .created = step.created,
                       .empty_layer = step.empty_layer};
    if (step.empty_layer || next >= image->config.diff_ids.size()) {
      history.push_back(std::move(entry));
    } else {
      add_layer(std::move(entry));
    }
  }
  // Builders may leave the history out.
  while (next < image->config.diff_ids.size()) add_layer({.created = image->config.created});
  return history;
}

absl::Status ImageStoreImpl::CollectGarbage() {
  absl::MutexLock lock(&collecting_);
  roots_->RetryReleases();
  CRISP_RETURN_IF_ERROR(layers_->Collect());
  const absl::Status status = layers_->EmptyTrash();
  // Trash that is still mounted somewhere goes with a later round.
  return absl::IsFailedPrecondition(status) ? absl::OkStatus() : status;
}

}  // namespace crisp::storage
