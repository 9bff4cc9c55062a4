#ifndef CRISP_CRI_STATE_ID_STORE_H_
#define CRISP_CRI_STATE_ID_STORE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/id.h"

namespace crisp::cri {

// The objects of one kind that clients can see, by id. Thread-safe; no call waits for anything but
// the map itself. `noun` names the kind in errors ("pod sandbox").
template <typename T>
class IdStore {
 public:
  explicit IdStore(std::string noun) : noun_(std::move(noun)) {}

  // Finds one by its id or by any unambiguous prefix of it. NotFound. InvalidArgument if several
  // match.
  absl::StatusOr<std::shared_ptr<T>> Find(absl::string_view prefix) const {
    if (!IsIdPrefix(prefix)) return NotFound(prefix);
    absl::MutexLock lock(&mutex_);
    auto it = objects_.lower_bound(std::string(prefix));
    if (it == objects_.end() || !absl::StartsWith(it->first, prefix)) return NotFound(prefix);
    auto next = std::next(it);
    if (it->first.size() != prefix.size() && next != objects_.end() &&
        absl::StartsWith(next->first, prefix)) {
      return absl::InvalidArgumentError(
          absl::StrCat(noun_, " id ", prefix, " is ambiguous: several begin with it"));
    }
    return it->second;
  }

  void Insert(const std::string& id, std::shared_ptr<T> object) {
    absl::MutexLock lock(&mutex_);
    objects_[id] = std::move(object);
  }

  // True if it was there.
  bool Erase(const std::string& id) {
    absl::MutexLock lock(&mutex_);
    return objects_.erase(id) > 0;
  }

  // In the order of their ids.
  std::vector<std::shared_ptr<T>> All() const {
    absl::MutexLock lock(&mutex_);
    std::vector<std::shared_ptr<T>> all;
    all.reserve(objects_.size());
    for (const auto& [id, object] : objects_) all.push_back(object);
    return all;
  }

  size_t size() const {
    absl::MutexLock lock(&mutex_);
    return objects_.size();
  }

 private:
  absl::Status NotFound(absl::string_view id) const {
    return absl::NotFoundError(absl::StrCat(noun_, " ", id, " not found"));
  }

  const std::string noun_;
  mutable absl::Mutex mutex_;
  absl::btree_map<std::string, std::shared_ptr<T>> objects_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_STATE_ID_STORE_H_
