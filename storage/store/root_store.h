#ifndef CRISP_STORAGE_STORE_ROOT_STORE_H_
#define CRISP_STORAGE_STORE_ROOT_STORE_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/operation.h"
#include "storage/store/layer_store.h"
#include "storage/values/changes.h"
#include "storage/values/image.h"

namespace crisp::storage {

// The directories containers/<key>/{upper,work,ref} and the pins that go with them. `ref` lists the
// pinned layers, so that a restarted daemon pins them again. It lists their numbers too, so that a
// daemon which has lost its catalog knows what not to touch. It ends with the key, if that is no
// longer the directory's name. Nothing here is synced: no container outlives the machine.
// Thread-safe; the mutex is not held across disk access.
class RootStore {
 public:
  RootStore(LayerStore* layers, const ImageCatalog* catalog) : layers_(layers), catalog_(catalog) {}

  // Reads containers/, pins the layers that it finds, and holds those that are pinned without being
  // known. False if it cannot tell on which layers some container stands.
  absl::StatusOr<bool> Recover();
  // A container's has directories to write to, a view has none.
  enum class Kind { kContainer, kView };
  // As ImageStore::PrepareContainer and PrepareView.
  absl::StatusOr<RootFs> Prepare(absl::string_view key, absl::string_view image_id, Kind kind);
  absl::Status Rekey(absl::string_view key, absl::string_view new_key);
  // OK also if the directories could not be moved away yet. RetryReleases() does that, and unpins
  // then.
  absl::Status Release(absl::string_view key);
  void RetryReleases();
  bool HasReleases() const;
  std::vector<std::string> Keys() const;
  // Keys that stand on the layer, sorted.
  std::vector<std::string> UsersOf(absl::string_view diff_id) const;

  absl::StatusOr<FsUsage> Usage(absl::string_view key) const;
  FsUsage TotalUsage() const;
  // As ImageStore::ContainerChanges().
  absl::StatusOr<Changes> ChangesOf(absl::string_view key,
                                    const ChangeLimits& limits,
                                    const Operation& operation) const;
  // As ImageStore::MeasureContainers().
  void Measure(const std::vector<std::string>& keys);

 private:
  struct Entry {
    bool ready = false;  // its directories exist
    std::string dir;
    std::vector<std::string> diff_ids;  // pinned
    std::vector<LayerRecord> layers;    // bottom first
    std::vector<LayerRecord> held;      // those of them that are held, not pinned
    Kind kind = Kind::kView;
    FsUsage usage;
    bool writable() const { return kind == Kind::kContainer; }
    std::string upper_dir() const { return writable() ? dir + "/upper" : ""; }
  };
  absl::StatusOr<Entry> Existing(const std::string& key);
  absl::StatusOr<RootFs> MakeRoot(const Entry& entry) const;
  absl::Status MakeDirectories(const Entry& entry, const RootFs& root);
  bool RecoverOne(const std::string& name);
  absl::Status LetGo(const Entry& entry);

  LayerStore* const layers_;
  const ImageCatalog* const catalog_;
  mutable absl::Mutex mutex_;
  absl::CondVar changed_;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::vector<Entry> to_release_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_STORE_ROOT_STORE_H_
