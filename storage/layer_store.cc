#include "storage/layer_store.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "storage/digest.h"
#include "storage/tree_walk.h"

namespace crisp::storage {

std::string StorePaths::LayerDir(int64_t number) const {
  return absl::StrCat(layers(), "/", number);
}
std::string StorePaths::LayerFs(int64_t number) const {
  return absl::StrCat(LayerDir(number), "/fs");
}
std::string StorePaths::LayerImage(int64_t number) const {
  return absl::StrCat(LayerDir(number), "/image.erofs");
}
std::string StorePaths::ImplicitDirs(int64_t number) const {
  return absl::StrCat(LayerDir(number), "/implicit_dirs");
}
std::string StorePaths::Blob(absl::string_view digest) const {
  return absl::StrCat(blobs(), "/", DigestHex(digest));
}

absl::Status LayerStore::Recover(bool suspect) {
  for (const std::string& dir :
       {paths_.layers(), paths_.blobs(), paths_.ingest(), paths_.containers(), paths_.trash()}) {
    CRISP_RETURN_IF_ERROR(MakeDirs(dir, 0700));
  }
  CRISP_RETURN_IF_ERROR(MakeDirs(paths_.empty(), 0755));
  for (const std::string& dir : {paths_.layers(), paths_.ingest(), paths_.trash()}) {
    CRISP_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDir(dir));
    for (const std::string& name : names) {
      int64_t number = 0;
      if (absl::SimpleAtoi(name, &number)) next_number_ = std::max(next_number_.load(), number + 1);
    }
  }
  for (const LayerRecord& record : catalog_->Layers()) {
    next_number_ = std::max(next_number_.load(), record.number + 1);
    if (!IsThere(record)) {
      LogWarning("layer_lost", {{"layer", record.diff_id}});
      CRISP_RETURN_IF_ERROR(Drop(record));
      continue;
    }
    absl::MutexLock lock(&mutex_);
    layers_[record.diff_id] = {
        .record = record, .present = true, .committed = true, .suspect = suspect};
  }
  // An image without all of its layers could not start anything: the next pull brings it back.
  for (const ImagePtr& image : catalog_->List()) {
    absl::MutexLock lock(&mutex_);
    for (const std::string& diff_id : image->layers) {
      if (layers_.count(diff_id) > 0) continue;
      LogWarning("image_dropped", {{"image", image->image.id}, {"missing_layer", diff_id}});
      CRISP_RETURN_IF_ERROR(catalog_->RemoveImage(image->image.id));
      break;
    }
  }
  return TrashStrangers();
}

absl::Status LayerStore::TrashStrangers() {
  std::set<std::string> known;
  for (const LayerRecord& record : Records()) {
    known.insert(paths_.LayerDir(record.number));
    if (record.blob_kept) known.insert(paths_.Blob(record.blob_digest));
  }
  for (const std::string& dir : {paths_.layers(), paths_.blobs(), paths_.ingest()}) {
    CRISP_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDir(dir));
    for (const std::string& name : names) {
      const std::string path = absl::StrCat(dir, "/", name);
      if (known.count(path) == 0) CRISP_RETURN_IF_ERROR(Trash(path));
    }
  }
  return absl::OkStatus();
}

absl::Status LayerStore::Drop(const LayerRecord& record) {
  CRISP_RETURN_IF_ERROR(catalog_->RemoveLayer(record.number));
  CRISP_RETURN_IF_ERROR(Discard(record.number));
  return record.blob_kept ? Trash(paths_.Blob(record.blob_digest)) : absl::OkStatus();
}

absl::Status LayerStore::WaitIdle(const std::string& diff_id, const Cancel& cancel) {
  while (true) {
    const auto it = layers_.find(diff_id);
    if (it == layers_.end() || !it->second.busy) return absl::OkStatus();
    CRISP_RETURN_IF_ERROR(cancel.Check("wait for a layer"));
    changed_.WaitWithTimeout(&mutex_, absl::Milliseconds(50));
  }
}

absl::StatusOr<LayerStore::Lease> LayerStore::Acquire(const std::string& diff_id,
                                                      const Build& build,
                                                      const Cancel& cancel) {
  Verify(diff_id);
  {
    absl::MutexLock lock(&mutex_);
    CRISP_RETURN_IF_ERROR(WaitIdle(diff_id, cancel));
    State& state = layers_[diff_id];
    if (state.present) {
      ++state.leases;
      return Lease{state.record, state.committed};
    }
    state.busy = true;
  }
  absl::StatusOr<LayerRecord> record = build(NextNumber());
  absl::MutexLock lock(&mutex_);
  State& state = layers_[diff_id];
  state.busy = false;
  changed_.SignalAll();
  if (!record.ok()) {
    Forget(diff_id);
    return record.status();
  }
  state.record = *record;
  state.present = true;
  state.leases = 1;
  return Lease{*std::move(record), false};
}

// Pins of containers that recovery has yet to release are counted on.
void LayerStore::Forget(const std::string& diff_id) {
  const auto it = layers_.find(diff_id);
  if (it == layers_.end()) return;
  const int pins = it->second.pins;
  layers_.erase(it);
  if (pins > 0) layers_[diff_id].pins = pins;
}

void LayerStore::Release(const std::string& diff_id) {
  absl::MutexLock lock(&mutex_);
  if (const auto it = layers_.find(diff_id); it != layers_.end()) --it->second.leases;
}

void LayerStore::MarkCommitted(const std::vector<LayerRecord>& layers) {
  absl::MutexLock lock(&mutex_);
  for (const LayerRecord& layer : layers) layers_[layer.diff_id].committed = true;
}

absl::StatusOr<std::vector<LayerRecord>> LayerStore::Pin(
    const std::function<absl::StatusOr<std::vector<std::string>>()>& find) {
  CRISP_ASSIGN_OR_RETURN(const std::vector<std::string> wanted, find());
  for (const std::string& diff_id : wanted) Verify(diff_id);
  absl::MutexLock lock(&mutex_);
  CRISP_ASSIGN_OR_RETURN(const std::vector<std::string> diff_ids, find());
  std::vector<LayerRecord> records;
  for (const std::string& diff_id : diff_ids) {
    const auto it = layers_.find(diff_id);
    if (it == layers_.end() || !it->second.present || it->second.busy) {
      return absl::DataLossError(absl::StrCat("layer ", diff_id, " is damaged or gone: pull again"));
    }
    records.push_back(it->second.record);
  }
  for (const std::string& diff_id : diff_ids) ++layers_[diff_id].pins;
  return records;
}

std::vector<LayerRecord> LayerStore::Repin(const std::vector<std::string>& diff_ids) {
  absl::MutexLock lock(&mutex_);
  std::vector<LayerRecord> records;
  for (const std::string& diff_id : diff_ids) {
    const auto it = layers_.find(diff_id);
    if (it == layers_.end()) continue;
    ++it->second.pins;
    records.push_back(it->second.record);
  }
  return records;
}

void LayerStore::Unpin(const std::vector<std::string>& diff_ids) {
  absl::MutexLock lock(&mutex_);
  for (const std::string& diff_id : diff_ids) {
    if (const auto it = layers_.find(diff_id); it != layers_.end()) --it->second.pins;
  }
}

absl::Status LayerStore::Collect() {
  std::vector<LayerRecord> doomed;
  {
    absl::MutexLock lock(&mutex_);
    for (auto& [diff_id, state] : layers_) {
      if (!state.present || state.busy || state.leases > 0 || state.pins > 0) continue;
      if (catalog_->Uses(diff_id)) continue;
      state.busy = true;
      doomed.push_back(state.record);
    }
  }
  absl::Status first;
  for (const LayerRecord& record : doomed) {
    const absl::Status status = Drop(record);
    absl::MutexLock lock(&mutex_);
    if (status.ok()) {
      Forget(record.diff_id);
    } else {
      layers_[record.diff_id].busy = false;
      if (first.ok()) first = status;
    }
    changed_.SignalAll();
  }
  return first;
}

absl::StatusOr<std::string> LayerStore::Root(const LayerRecord& record) {
  if (!record.is_image()) return paths_.LayerFs(record.number);
  return mounts_.Root(record.number, paths_.LayerImage(record.number));
}

absl::Status LayerStore::Discard(int64_t number) {
  mounts_.Forget(number);
  return Trash(paths_.LayerDir(number));
}

bool LayerStore::IsThere(const LayerRecord& record) const {
  struct stat st {};
  const std::string path =
      record.is_image() ? paths_.LayerImage(record.number) : paths_.LayerFs(record.number);
  return stat(path.c_str(), &st) == 0;
}

bool LayerStore::IsIntact(const LayerRecord& record) const {
  if (record.is_image()) {
    const absl::StatusOr<UniqueFd> image = Open(paths_.LayerImage(record.number), O_RDONLY);
    if (!image.ok()) return false;
    const absl::StatusOr<ErofsSummary> summary = SummarizeErofs(image->get());
    if (!summary.ok() || *summary != record.image) return false;
  } else {
    const absl::StatusOr<TreeCount> count = CountTree(AT_FDCWD, paths_.LayerFs(record.number));
    if (!count.ok() || count->inodes != record.inodes + 1 || count->bytes != record.bytes) return false;
  }
  struct stat st {};
  return !record.blob_kept || (stat(paths_.Blob(record.blob_digest).c_str(), &st) == 0 &&
                               static_cast<uint64_t>(st.st_size) == record.blob_size);
}

void LayerStore::Verify(const std::string& diff_id) {
  LayerRecord record;
  {
    absl::MutexLock lock(&mutex_);
    (void)WaitIdle(diff_id, Cancel());
    const auto it = layers_.find(diff_id);
    if (it == layers_.end() || !it->second.suspect) return;
    it->second.busy = true;
    record = it->second.record;
  }
  const bool intact = IsIntact(record);
  if (!intact) {
    LogWarning("layer_damaged", {{"layer", diff_id}});
    for (const ImagePtr& image : catalog_->List()) {
      const std::vector<std::string>& uses = image->layers;
      if (std::find(uses.begin(), uses.end(), diff_id) != uses.end()) {
        (void)catalog_->RemoveImage(image->image.id);  // its next pull rebuilds it
      }
    }
  }
  const bool dropped = !intact && Drop(record).ok();
  absl::MutexLock lock(&mutex_);
  if (dropped) {
    Forget(diff_id);
  } else {
    State& state = layers_[diff_id];
    state.busy = false;
    state.suspect = !intact;
  }
  changed_.SignalAll();
}

bool LayerStore::VerifyNext() {
  std::string diff_id;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [id, state] : layers_) {
      if (state.suspect && !state.busy) diff_id = id;
    }
  }
  if (diff_id.empty()) return false;
  Verify(diff_id);
  return true;
}

absl::Status LayerStore::Trash(const std::string& path) {
  const std::string to = absl::StrCat(paths_.trash(), "/", NextNumber());
  if (rename(path.c_str(), to.c_str()) != 0 && errno != ENOENT) {
    return ErrnoError(errno, absl::StrCat("move to trash: ", path));
  }
  return absl::OkStatus();
}

absl::Status LayerStore::EmptyTrash() {
  CRISP_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDir(paths_.trash()));
  absl::Status first;
  for (const std::string& name : names) {
    const absl::Status status = RemoveTree(absl::StrCat(paths_.trash(), "/", name));
    if (first.ok()) first = status;
  }
  return first;
}

std::vector<LayerRecord> LayerStore::Records() const {
  absl::MutexLock lock(&mutex_);
  std::vector<LayerRecord> records;
  for (const auto& [diff_id, state] : layers_) {
    if (state.present) records.push_back(state.record);
  }
  return records;
}

}  // namespace crisp::storage
