#ifndef CRISP_STORAGE_IMAGE_EARLY_FETCH_H_
#define CRISP_STORAGE_IMAGE_EARLY_FETCH_H_

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/operation.h"
#include "base/thread.h"

namespace crisp::storage {

// The blobs that are being fetched. Thread-safe. It must outlive the holds that it hands out.
class BlobsUnderWay {
 public:
  // Counts as a fetch of the blob while it lives.
  using Hold = std::shared_ptr<const void>;
  Hold Add(const std::string& digest);
  // Begins the first fetch of a blob. Null if the blob is being fetched already. While the hold
  // lives, only its owner knows what the blob becomes.
  Hold AddFirst(const std::string& digest);
  // Waits until no hold of AddFirst() is left for the blob. `operation`'s error.
  absl::Status AwaitFirst(const std::string& digest, const Operation& operation);

 private:
  Hold AddLocked(const std::string& digest, bool first) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Mutex mutex_;
  std::map<std::string, int> fetches_ ABSL_GUARDED_BY(mutex_);  // by digest
  std::set<std::string> first_ ABSL_GUARDED_BY(mutex_);
};

// Work that begins, on a thread of its own, before it is known to be of use. Destroying the object
// ends the work.
class EarlyFetch {
 public:
  using Work = std::function<absl::Status(const Operation& operation)>;
  // ResourceExhausted, with nothing begun, if no thread can be made.
  static absl::StatusOr<std::unique_ptr<EarlyFetch>> Begin(Work work,
                                                           const Operation& operation,
                                                           BlobsUnderWay::Hold hold = {});
  ~EarlyFetch();
  EarlyFetch(const EarlyFetch&) = delete;
  EarlyFetch& operator=(const EarlyFetch&) = delete;

  // Call once, if the work is of use. Waits for its end. `operation` counts beside the
  // constructor's.
  absl::Status Wait(const Operation& operation);

 private:
  EarlyFetch(const Operation& operation, BlobsUnderWay::Hold hold)
      : source_(operation), hold_(std::move(hold)) {}
  void Run(const Work& work);

  CancelSource source_;  // of the work's operation
  const BlobsUnderWay::Hold hold_;
  absl::Mutex mutex_;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status result_ ABSL_GUARDED_BY(mutex_);
  Thread thread_;
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_IMAGE_EARLY_FETCH_H_
