#ifndef CRISP_STORAGE_EARLY_FETCH_H_
#define CRISP_STORAGE_EARLY_FETCH_H_

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/cancel.h"
#include "storage/registry.h"

namespace crisp::storage {

// Which blobs are being fetched. Thread-safe; outlives what it hands out.
class BlobsUnderWay {
 public:
  // Counts as a fetch of the blob while it lives.
  using Hold = std::shared_ptr<const void>;
  Hold Add(const std::string& digest);
  // Null when somebody fetches it already.
  Hold AddFirst(const std::string& digest);

 private:
  Hold AddLocked(const std::string& digest) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Mutex mutex_;
  std::map<std::string, int> fetches_ ABSL_GUARDED_BY(mutex_);  // by digest
};

// A blob that is asked for before it is known where its bytes go. A thread holds the first of them until
// Run() says so: what comes meanwhile waits in the connection. Destroying it ends the fetch.
class EarlyFetch {
 public:
  using Sink = std::function<absl::Status(absl::string_view)>;
  // The session outlives this object.
  EarlyFetch(RegistrySession& session, Descriptor blob, Cancel cancel, BlobsUnderWay::Hold hold = {});
  ~EarlyFetch();
  EarlyFetch(const EarlyFetch&) = delete;
  EarlyFetch& operator=(const EarlyFetch&) = delete;

  // RegistrySession::FetchBlob() of the blob, but the sink runs on another thread. Call once; `cancel`
  // counts beside the constructor's.
  absl::Status Run(const Sink& sink, const Cancel& cancel);

 private:
  absl::Status Take(absl::string_view bytes);
  bool Cancelled();

  const Cancel cancel_;
  const BlobsUnderWay::Hold hold_;
  std::atomic<bool> abandoned_{false};
  absl::Mutex mutex_;
  const Sink* sink_ ABSL_GUARDED_BY(mutex_) = nullptr;
  const Cancel* run_cancel_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status result_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

// The early fetches of one pull. Thread-safe.
class EarlyFetches {
 public:
  void Begin(RegistrySession& session,
             const Descriptor& blob,
             const Cancel& cancel,
             BlobsUnderWay::Hold hold);
  // Null when there is none, or somebody took it.
  std::unique_ptr<EarlyFetch> Take(const std::string& digest);

 private:
  absl::Mutex mutex_;
  std::map<std::string, std::unique_ptr<EarlyFetch>> fetches_ ABSL_GUARDED_BY(mutex_);  // by digest
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_EARLY_FETCH_H_
