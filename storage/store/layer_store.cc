#include "storage/store/layer_store.h"

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
#include "storage/forms/layer_forms.h"
#include "storage/oci/digest.h"

namespace crisp::storage {

std::string StorePaths::LayerDir(int64_t number) const {
  return absl::StrCat(layers(), "/", number);
}
std::string StorePaths::ImplicitDirs(int64_t number) const {
  return absl::StrCat(LayerDir(number), "/implicit_dirs");
}
std::string StorePaths::WhiteoutDirs(int64_t number) const {
  return absl::StrCat(LayerDir(number), "/whiteout_dirs");
}
std::string StorePaths::Blob(absl::string_view digest) const {
  return absl::StrCat(blobs(), "/", DigestHex(digest));
}

absl::Status LayerStore::Recover(LastEnd last_end) {
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
  for (LayerRecord record : catalog_->Layers()) {
    next_number_ = std::max(next_number_.load(), record.number + 1);
    const auto form = LayerFormIn(paths_.LayerDir(record.number));
    // A disk that cannot be read now may be read by the next start: no row goes for that.
    if (!form.ok() && !absl::IsNotFound(form.status())) return form.status();
    if (!form.ok()) {
      LogWarning("layer_lost", {{"layer", record.diff_id}});
      CRISP_RETURN_IF_ERROR(Drop(record));
      continue;
    }
    record.form = *form;
    const bool whole = LooksWhole(record);
    absl::MutexLock lock(&mutex_);
    layers_[record.diff_id] = {.record = record,
                               .present = true,
                               .committed = true,
                               .suspect = last_end == LastEnd::kPowerCut || !whole};
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
  return absl::OkStatus();
}

std::vector<LayerRecord> LayerStore::Hold(const std::vector<Held>& layers) {
  std::vector<LayerRecord> records;
  for (const Held& layer : layers) {
    const auto form = LayerFormIn(paths_.LayerDir(layer.number));
    if (absl::IsNotFound(form.status())) continue;
    if (!form.ok()) LogWarning("layer.unread", {{"error", form.status().message()}});
    // Also one that cannot be looked at now: its container may read it again later.
    records.push_back({.diff_id = layer.diff_id,
                       .number = layer.number,
                       .form = form.ok() ? *form : &Directories()});
    absl::MutexLock lock(&mutex_);
    ++held_[layer.number];
  }
  return records;
}

void LayerStore::Unhold(const std::vector<LayerRecord>& layers) {
  for (const LayerRecord& layer : layers) {
    {
      absl::MutexLock lock(&mutex_);
      const auto it = held_.find(layer.number);
      if (it == held_.end() || --it->second > 0) continue;
      held_.erase(it);
    }
    (void)Discard(layer.number);
  }
}

absl::Status LayerStore::TrashStrangers(Strangers strangers) {
  std::set<std::string> known;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [number, holds] : held_) known.insert(paths_.LayerDir(number));
  }
  for (const LayerRecord& record : Records()) {
    known.insert(paths_.LayerDir(record.number));
    if (record.blob_kept) known.insert(paths_.Blob(record.blob_digest));
  }
  for (const std::string& dir : {paths_.layers(), paths_.blobs(), paths_.ingest()}) {
    if (dir == paths_.layers() && strangers == Strangers::kLayersStay) continue;
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
  if (record.blob_kept) TrashSurely(paths_.Blob(record.blob_digest));
  return absl::OkStatus();
}

absl::Status LayerStore::WaitIdle(const std::string& diff_id,
                                  const Operation& operation,
                                  const OperationWait& wait) {
  const auto idle = [this, &diff_id] {
    mutex_.AssertReaderHeld();
    const auto it = layers_.find(diff_id);
    return it == layers_.end() || !it->second.busy;
  };
  return wait.Await(absl::Condition(&idle)) ? absl::OkStatus()
                                            : operation.Error("wait for a layer");
}

absl::StatusOr<LayerStore::Lease> LayerStore::Acquire(const std::string& diff_id,
                                                      const Build& build,
                                                      const Operation& operation) {
  Suspect(diff_id);
  CRISP_RETURN_IF_ERROR(Verify(diff_id, operation));
  {
    const OperationWait wait(operation, mutex_);
    absl::MutexLock lock(&mutex_);
    CRISP_RETURN_IF_ERROR(WaitIdle(diff_id, operation, wait));
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
    const std::function<absl::StatusOr<std::vector<std::string>>()>& find,
    const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(const std::vector<std::string> wanted, find());
  for (const std::string& diff_id : wanted) CRISP_RETURN_IF_ERROR(Verify(diff_id, operation));
  absl::MutexLock lock(&mutex_);
  CRISP_ASSIGN_OR_RETURN(const std::vector<std::string> diff_ids, find());
  std::vector<LayerRecord> records;
  for (const std::string& diff_id : diff_ids) {
    const auto it = layers_.find(diff_id);
    if (it == layers_.end() || !it->second.present || it->second.busy) {
      return absl::DataLossError(
          absl::StrCat("layer ", diff_id, " is damaged or gone: pull again"));
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
  }
  return first;
}

absl::StatusOr<Lower> LayerStore::Root(const LayerRecord& record) {
  return mounts_.Root(record.number, *record.form, paths_.LayerDir(record.number));
}

absl::Status LayerStore::Discard(int64_t number) {
  mounts_.Forget(number);
  TrashSurely(paths_.LayerDir(number));
  return absl::OkStatus();
}

bool LayerStore::LooksWhole(const LayerRecord& record) const {
  return record.form->LooksWhole(paths_.LayerDir(record.number), record.facts);
}

absl::StatusOr<bool> LayerStore::IsIntact(const LayerRecord& record,
                                          const Operation& operation) const {
  CRISP_ASSIGN_OR_RETURN(const bool intact, record.form->IsIntact(paths_.LayerDir(record.number),
                                                                  record.facts, operation));
  if (!intact || !record.blob_kept) return intact;
  struct stat st {};
  return stat(paths_.Blob(record.blob_digest).c_str(), &st) == 0 &&
         static_cast<uint64_t>(st.st_size) == record.blob_size;
}

// Somebody emptied it while it was known.
void LayerStore::Suspect(const std::string& diff_id) {
  LayerRecord record;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = layers_.find(diff_id);
    if (it == layers_.end() || !it->second.present || it->second.busy) return;
    record = it->second.record;
  }
  if (LooksWhole(record)) return;
  absl::MutexLock lock(&mutex_);
  const auto it = layers_.find(diff_id);
  if (it != layers_.end() && it->second.record.number == record.number) it->second.suspect = true;
}

absl::Status LayerStore::Verify(const std::string& diff_id, const Operation& operation) {
  LayerRecord record;
  {
    const OperationWait wait(operation, mutex_);
    absl::MutexLock lock(&mutex_);
    CRISP_RETURN_IF_ERROR(WaitIdle(diff_id, operation, wait));
    const auto it = layers_.find(diff_id);
    if (it == layers_.end() || !it->second.suspect) return absl::OkStatus();
    it->second.busy = true;
    record = it->second.record;
  }
  const absl::StatusOr<bool> intact = IsIntact(record, operation);
  bool dropped = false;
  if (intact.ok() && !*intact) {
    LogWarning("layer_damaged", {{"layer", diff_id}});
    for (const ImagePtr& image : catalog_->List()) {
      const std::vector<std::string>& uses = image->layers;
      if (std::find(uses.begin(), uses.end(), diff_id) != uses.end()) {
        (void)catalog_->RemoveImage(image->image.id);  // its next pull rebuilds it
      }
    }
    dropped = Drop(record).ok();
  }
  absl::MutexLock lock(&mutex_);
  if (dropped) {
    Forget(diff_id);
  } else {
    State& state = layers_[diff_id];
    state.busy = false;
    state.suspect = !intact.value_or(false);
  }
  return intact.status();
}

bool LayerStore::VerifyNext(const Operation& operation) {
  std::string diff_id;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [id, state] : layers_) {
      if (state.suspect && !state.busy) diff_id = id;
    }
  }
  return !diff_id.empty() && Verify(diff_id, operation).ok();
}

absl::Status LayerStore::Trash(const std::string& path) {
  const std::string to = absl::StrCat(paths_.trash(), "/", NextNumber());
  if (rename(path.c_str(), to.c_str()) != 0 && errno != ENOENT) {
    return ErrnoError(errno, absl::StrCat("move to trash: ", path));
  }
  return absl::OkStatus();
}

void LayerStore::TrashSurely(const std::string& path) {
  const absl::Status status = Trash(path);
  if (status.ok()) return;
  LogWarning("trash_later", {{"path", path}, {"error", status.ToString()}});
  absl::MutexLock lock(&mutex_);
  to_trash_.insert(path);
}

absl::Status LayerStore::EmptyTrash() {
  std::set<std::string> again;
  {
    absl::MutexLock lock(&mutex_);
    again.swap(to_trash_);
  }
  for (const std::string& path : again) TrashSurely(path);
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
