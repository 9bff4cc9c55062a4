#include "storage/store/image_catalog.h"

#include <fnmatch.h>
#include <stdio.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/status.h"
#include "storage/oci/digest.h"
#include "storage/oci/image_reference.h"
#include "storage/store/inherited_dirs.h"

namespace crisp::storage {
namespace {

// layer_images has the seals of layers (LayerSeal), whatever form they are of.
constexpr char kSchema[] = R"(
  CREATE TABLE IF NOT EXISTS images (
    id TEXT PRIMARY KEY, config TEXT NOT NULL, manifest TEXT NOT NULL, pulled_at INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS names (name TEXT PRIMARY KEY, image TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS layers (
    number INTEGER PRIMARY KEY, diff_id TEXT NOT NULL, blob_digest TEXT NOT NULL,
    blob_size INTEGER NOT NULL, blob_kept INTEGER NOT NULL, archive_bytes INTEGER NOT NULL,
    inodes INTEGER NOT NULL, bytes INTEGER NOT NULL, disk_bytes INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS layer_images (
    number INTEGER PRIMARY KEY, size INTEGER NOT NULL, metadata_digest TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS indexes (
    image TEXT NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, bytes TEXT NOT NULL,
    PRIMARY KEY (image, digest));
  CREATE TABLE IF NOT EXISTS opaque_layers (number INTEGER PRIMARY KEY);
  CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL);
)";

int64_t Number(uint64_t value) { return static_cast<int64_t>(value); }

bool IsRepoDigest(absl::string_view name) { return absl::StrContains(name, '@'); }

absl::Status NoImage(absl::string_view reference) {
  return absl::NotFoundError(absl::StrCat("image ", reference, ": not on this node"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ImageCatalog>> ImageCatalog::Open(
    const std::string& path,
    std::vector<std::string> pinned_patterns,
    std::function<void()> on_write_failure) {
  absl::StatusOr<std::unique_ptr<ImageCatalog>> catalog =
      OpenOnce(path, pinned_patterns, on_write_failure);
  if (!absl::IsDataLoss(catalog.status())) return catalog;
  const std::string kept = absl::StrCat(path, ".damaged-", absl::ToUnixSeconds(absl::Now()));
  for (const char* part : {"", "-wal", "-shm"}) {
    if (rename((path + part).c_str(), (kept + part).c_str()) != 0 && errno != ENOENT) {
      return ErrnoError(errno, absl::StrCat("set ", path, part, " aside"));
    }
  }
  LogError("image_catalog_damaged", {{"error", catalog.status().ToString()}, {"kept_as", kept}});
  return OpenOnce(path, std::move(pinned_patterns), std::move(on_write_failure));
}

absl::StatusOr<std::unique_ptr<ImageCatalog>> ImageCatalog::OpenOnce(
    const std::string& path,
    std::vector<std::string> pinned_patterns,
    std::function<void()> on_write_failure) {
  std::unique_ptr<ImageCatalog> catalog(
      new ImageCatalog(std::move(pinned_patterns), std::move(on_write_failure)));
  CRISP_ASSIGN_OR_RETURN(catalog->database_, Database::Open(path, Database::Sync::kFull, kSchema));
  CRISP_RETURN_IF_ERROR(catalog->Load());
  return catalog;
}

absl::Status ImageCatalog::Load() {
  struct Row {
    std::string config, manifest;
    int64_t pulled_at;
  };
  std::map<std::string, Row> rows;
  absl::MutexLock lock(&mutex_);
  auto on_layer = [this](const Database::Row& row) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    layers_[row.Int(0)] = {.diff_id = row.Text(1),
                           .number = row.Int(0),
                           .blob_digest = row.Text(2),
                           .blob_size = static_cast<uint64_t>(row.Int(3)),
                           .blob_kept = row.Int(4) != 0,
                           .archive_bytes = static_cast<uint64_t>(row.Int(5)),
                           .facts = {.inodes = static_cast<uint64_t>(row.Int(6)),
                                     .bytes = static_cast<uint64_t>(row.Int(7)),
                                     .disk_bytes = static_cast<uint64_t>(row.Int(8))}};
  };
  CRISP_RETURN_IF_ERROR(
      database_
          ->Execute("SELECT number, diff_id, blob_digest, blob_size, blob_kept, archive_bytes, "
                    "inodes, bytes, disk_bytes FROM layers",
                    {}, on_layer)
          .status());
  auto on_seal = [this](const Database::Row& row) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const auto layer = layers_.find(row.Int(0));
    if (layer == layers_.end()) return;
    layer->second.facts.seal = {.size = static_cast<uint64_t>(row.Int(1)), .digest = row.Text(2)};
  };
  CRISP_RETURN_IF_ERROR(
      database_->Execute("SELECT number, size, metadata_digest FROM layer_images", {}, on_seal)
          .status());
  auto on_opaque = [this](const Database::Row& row) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (const auto layer = layers_.find(row.Int(0)); layer != layers_.end())
      layer->second.opaque_root = true;
  };
  CRISP_RETURN_IF_ERROR(
      database_->Execute("SELECT number FROM opaque_layers", {}, on_opaque).status());
  CRISP_RETURN_IF_ERROR(database_
                            ->Execute("SELECT id, config, manifest, pulled_at FROM images", {},
                                      [&](const Database::Row& row) {
                                        rows[row.Text(0)] = {row.Text(1), row.Text(2), row.Int(3)};
                                      })
                            .status());
  for (const auto& [id, row] : rows) {
    absl::StatusOr<ImageRecord> record =
        MakeRecord(row.config, row.manifest, absl::FromUnixNanos(row.pulled_at));
    // One bad record does not stop the rest; the next pull replaces it.
    if (!record.ok() || record->image.id != id) {
      LogWarning("image_record_damaged", {{"image", id}});
      continue;
    }
    FillLayers(*record, {});
    CountUses(*record, 1);
    images_[id] = std::make_shared<ImageRecord>(*std::move(record));
  }
  auto on_name = [this](const Database::Row& row) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (images_.count(row.Text(1)) > 0) names_[row.Text(0)] = row.Text(1);
  };
  CRISP_RETURN_IF_ERROR(database_->Execute("SELECT name, image FROM names", {}, on_name).status());
  std::vector<std::string> ids;
  for (const auto& [id, record] : images_) ids.push_back(id);
  for (const std::string& id : ids) RefreshNames(id);
  return absl::OkStatus();
}

absl::Status ImageCatalog::Write(const std::function<absl::Status()>& body) {
  absl::Status status = database_->Transaction(body);
  if (status.ok()) return status;
  on_write_failure_();
  return database_->Transaction(body);
}

absl::StatusOr<ImageRecord> ImageCatalog::MakeRecord(const std::string& config_bytes,
                                                     const std::string& manifest_bytes,
                                                     absl::Time now) const {
  ImageRecord record;
  CRISP_ASSIGN_OR_RETURN(record.config, ParseImageConfig(config_bytes));
  CRISP_ASSIGN_OR_RETURN(record.manifest, ParseManifest(manifest_bytes));
  CRISP_RETURN_IF_ERROR(CheckImage(record.manifest, record.config));
  record.manifest_bytes = manifest_bytes;
  Image& image = record.image;
  image.id = Sha256Digest(config_bytes);
  image.size_bytes = config_bytes.size() + manifest_bytes.size();
  for (const Descriptor& layer : record.manifest.layers) image.size_bytes += layer.size;
  image.pulled_at = now;
  image.user = record.config.user;
  image.entrypoint = record.config.entrypoint;
  image.command = record.config.command;
  image.environment = record.config.environment;
  image.working_dir = record.config.working_dir;
  image.stop_signal = record.config.stop_signal;
  image.volumes = record.config.volumes;
  image.config_json = config_bytes;
  image.chain_ids = record.config.diff_ids;
  return record;
}

bool ImageCatalog::HasLayer(const std::string& diff_id,
                            const std::vector<LayerRecord>& fresh) const {
  const auto is_it = [&](const LayerRecord& layer) { return layer.diff_id == diff_id; };
  return std::any_of(fresh.begin(), fresh.end(), is_it) ||
         std::any_of(layers_.begin(), layers_.end(),
                     [&](const auto& layer) { return is_it(layer.second); });
}

void ImageCatalog::FillLayers(ImageRecord& record, const std::vector<LayerRecord>& fresh) {
  record.layers = record.config.diff_ids;
  std::string inherited = InheritedDirsKey(record.config.diff_ids);
  if (HasLayer(inherited, fresh)) record.layers.push_back(std::move(inherited));
}

void ImageCatalog::CountUses(const ImageRecord& record, int change) {
  for (const std::string& layer :
       std::set<std::string>(record.layers.begin(), record.layers.end())) {
    if ((layer_uses_[layer] += change) == 0) layer_uses_.erase(layer);
  }
}

// Recomputes what an image's names say: tags, digests, whether it is pinned.
void ImageCatalog::RefreshNames(const std::string& id) {
  const auto it = images_.find(id);
  if (it == images_.end()) return;
  auto record = std::make_shared<ImageRecord>(*it->second);
  Image& image = record->image;
  image.repo_tags.clear();
  image.repo_digests.clear();
  for (const auto& [name, owner] : names_) {
    if (owner == id) (IsRepoDigest(name) ? image.repo_digests : image.repo_tags).push_back(name);
  }
  image.pinned = false;
  for (const std::string& pattern : pinned_patterns_) {
    const absl::StatusOr<ImageReference> parsed = ImageReference::Parse(pattern);
    for (const std::string& tag : image.repo_tags) {
      image.pinned |= fnmatch(pattern.c_str(), tag.c_str(), 0) == 0 ||
                      (parsed.ok() && parsed->RepoTag() == tag);
    }
    for (const std::string& digest : image.repo_digests) {
      image.pinned |= fnmatch(pattern.c_str(), digest.c_str(), 0) == 0;
    }
    image.pinned |= pattern == id;
  }
  it->second = std::move(record);
}

void ImageCatalog::AssignName(const std::string& name, const std::string& id) {
  const std::string previous = std::exchange(names_[name], id);
  if (!previous.empty() && previous != id) RefreshNames(previous);
}

absl::StatusOr<ImagePtr> ImageCatalog::Find(absl::string_view reference) const {
  absl::ReaderMutexLock lock(&mutex_);
  const std::string text(reference);
  if (const auto it = images_.find(text); it != images_.end()) return it->second;
  if (const absl::StatusOr<ImageReference> parsed = ImageReference::Parse(reference); parsed.ok()) {
    const std::string name =
        parsed->digest.empty() ? parsed->RepoTag() : parsed->RepoDigest(parsed->digest);
    if (const auto it = names_.find(name); it != names_.end()) return images_.at(it->second);
  }
  absl::string_view prefix = reference;
  (void)absl::ConsumePrefix(&prefix, "sha256:");
  if (!IsIdPrefix(prefix)) return NoImage(reference);
  const std::string from = absl::StrCat("sha256:", prefix);
  const auto first = images_.lower_bound(from);
  if (first == images_.end() || !absl::StartsWith(first->first, from)) return NoImage(reference);
  const auto second = std::next(first);
  if (second != images_.end() && absl::StartsWith(second->first, from)) {
    return absl::NotFoundError(absl::StrCat("image ", reference, ": several ids begin so"));
  }
  return first->second;
}

std::vector<ImagePtr> ImageCatalog::List() const {
  absl::ReaderMutexLock lock(&mutex_);
  std::vector<ImagePtr> images;
  for (const auto& [id, image] : images_) images.push_back(image);
  return images;
}

bool ImageCatalog::Uses(absl::string_view diff_id) const {
  absl::ReaderMutexLock lock(&mutex_);
  return layer_uses_.count(std::string(diff_id)) > 0;
}

std::vector<LayerRecord> ImageCatalog::Layers() const {
  absl::ReaderMutexLock lock(&mutex_);
  std::vector<LayerRecord> layers;
  for (const auto& [number, layer] : layers_) layers.push_back(layer);
  return layers;
}

absl::Status ImageCatalog::Commit(const std::string& config_bytes,
                                  const std::string& manifest_bytes,
                                  const std::optional<Index>& index,
                                  const std::vector<std::string>& names,
                                  const std::vector<LayerRecord>& layers,
                                  absl::Time now) {
  CRISP_ASSIGN_OR_RETURN(ImageRecord record, MakeRecord(config_bytes, manifest_bytes, now));
  const std::string id = record.image.id;
  absl::MutexLock writing(&write_mutex_);
  const auto body = [&]() -> absl::Status {
    CRISP_RETURN_IF_ERROR(
        database_
            ->Execute("INSERT INTO images VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
                      "manifest = excluded.manifest, pulled_at = excluded.pulled_at",
                      {id, config_bytes, manifest_bytes, absl::ToUnixNanos(now)})
            .status());
    if (index) {
      CRISP_RETURN_IF_ERROR(database_
                                ->Execute("INSERT OR REPLACE INTO indexes VALUES (?, ?, ?, ?)",
                                          {id, index->digest, index->media_type, index->bytes})
                                .status());
    }
    for (const std::string& name : names) {
      CRISP_RETURN_IF_ERROR(
          database_->Execute("INSERT OR REPLACE INTO names VALUES (?, ?)", {name, id}).status());
    }
    for (const LayerRecord& layer : layers) {
      CRISP_RETURN_IF_ERROR(
          database_
              ->Execute("INSERT OR REPLACE INTO layers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        {layer.number, layer.diff_id, layer.blob_digest, Number(layer.blob_size),
                         int64_t{layer.blob_kept}, Number(layer.archive_bytes),
                         Number(layer.facts.inodes), Number(layer.facts.bytes),
                         Number(layer.facts.disk_bytes)})
              .status());
      if (layer.opaque_root) {
        CRISP_RETURN_IF_ERROR(
            database_->Execute("INSERT OR REPLACE INTO opaque_layers VALUES (?)", {layer.number})
                .status());
      }
      const LayerSeal& seal = layer.facts.seal;
      if (seal == LayerSeal()) continue;
      CRISP_RETURN_IF_ERROR(database_
                                ->Execute("INSERT OR REPLACE INTO layer_images VALUES (?, ?, ?)",
                                          {layer.number, Number(seal.size), seal.digest})
                                .status());
    }
    return absl::OkStatus();
  };
  CRISP_RETURN_IF_ERROR(Write(body));
  absl::MutexLock lock(&mutex_);
  FillLayers(record, layers);
  CountUses(record, 1);
  if (const auto it = images_.find(id); it != images_.end()) CountUses(*it->second, -1);
  images_[id] = std::make_shared<ImageRecord>(std::move(record));
  for (const std::string& name : names) AssignName(name, id);
  RefreshNames(id);
  for (const LayerRecord& layer : layers) layers_[layer.number] = layer;
  return absl::OkStatus();
}

absl::StatusOr<ImageCatalog::Index> ImageCatalog::FindIndex(absl::string_view digest) {
  Index index;
  CRISP_RETURN_IF_ERROR(
      database_
          ->Execute("SELECT digest, media_type, bytes FROM indexes WHERE digest = ? LIMIT 1",
                    {digest},
                    [&](const Database::Row& row) {
                      index = {row.Text(0), row.Text(1), row.Text(2)};
                    })
          .status());
  if (index.digest.empty())
    return absl::NotFoundError(absl::StrCat("index ", digest, ": not kept"));
  return index;
}

absl::Status ImageCatalog::AddName(const std::string& id, const std::string& name) {
  absl::MutexLock writing(&write_mutex_);
  {
    absl::MutexLock lock(&mutex_);
    if (images_.count(id) == 0) return absl::NotFoundError(absl::StrCat("image ", id, " is gone"));
  }
  CRISP_RETURN_IF_ERROR(Write([&] {
    return database_->Execute("INSERT OR REPLACE INTO names VALUES (?, ?)", {name, id}).status();
  }));
  absl::MutexLock lock(&mutex_);
  AssignName(name, id);
  RefreshNames(id);
  return absl::OkStatus();
}

absl::Status ImageCatalog::RemoveName(const std::string& name) {
  absl::MutexLock writing(&write_mutex_);
  {
    absl::MutexLock lock(&mutex_);
    if (names_.count(name) == 0)
      return absl::NotFoundError(absl::StrCat("no image is named ", name));
  }
  CRISP_RETURN_IF_ERROR(Write(
      [&] { return database_->Execute("DELETE FROM names WHERE name = ?", {name}).status(); }));
  absl::MutexLock lock(&mutex_);
  const std::string id = names_[name];
  names_.erase(name);
  RefreshNames(id);
  return absl::OkStatus();
}

absl::Status ImageCatalog::RemoveImage(const std::string& id) {
  absl::MutexLock writing(&write_mutex_);
  const auto body = [&]() -> absl::Status {
    CRISP_RETURN_IF_ERROR(database_->Execute("DELETE FROM names WHERE image = ?", {id}).status());
    CRISP_RETURN_IF_ERROR(database_->Execute("DELETE FROM indexes WHERE image = ?", {id}).status());
    return database_->Execute("DELETE FROM images WHERE id = ?", {id}).status();
  };
  CRISP_RETURN_IF_ERROR(Write(body));
  absl::MutexLock lock(&mutex_);
  const auto it = images_.find(id);
  if (it == images_.end()) return absl::OkStatus();
  CountUses(*it->second, -1);
  images_.erase(it);
  std::erase_if(names_, [&](const auto& name) { return name.second == id; });
  return absl::OkStatus();
}

absl::Status ImageCatalog::RemoveLayer(int64_t number) {
  absl::MutexLock writing(&write_mutex_);
  const auto body = [&]() -> absl::Status {
    CRISP_RETURN_IF_ERROR(
        database_->Execute("DELETE FROM layer_images WHERE number = ?", {number}).status());
    CRISP_RETURN_IF_ERROR(
        database_->Execute("DELETE FROM opaque_layers WHERE number = ?", {number}).status());
    return database_->Execute("DELETE FROM layers WHERE number = ?", {number}).status();
  };
  CRISP_RETURN_IF_ERROR(Write(body));
  absl::MutexLock lock(&mutex_);
  layers_.erase(number);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ImageCatalog::GetFact(const char* key) {
  std::string value;
  CRISP_RETURN_IF_ERROR(database_
                            ->Execute("SELECT value FROM facts WHERE key = ?", {key},
                                      [&](const Database::Row& row) { value = row.Text(0); })
                            .status());
  return value;
}

absl::Status ImageCatalog::SetFact(const char* key, absl::string_view value) {
  absl::MutexLock writing(&write_mutex_);
  return Write([&] {
    return database_->Execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", {key, value}).status();
  });
}

}  // namespace crisp::storage
