#ifndef CRISP_CRI_STATE_JOIN_TABLE_H_
#define CRISP_CRI_STATE_JOIN_TABLE_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/operation.h"

namespace crisp::cri {

// Operations by key, at most one running per key. The first caller does the work to its end,
// whatever becomes of the client that asked. Further callers with the same key wait for it and get
// the same result. Nothing is kept once an operation has ended: a later caller looks at what it
// made. Thread-safe.
template <typename T>
class JoinTable {
 public:
  // `operation` ends the waiting of one that joined (its error is returned), never the work.
  absl::StatusOr<T> Run(const std::string& key,
                        const Operation& operation,
                        const std::function<absl::StatusOr<T>()>& work) {
    std::shared_ptr<Running> running;
    bool mine = false;
    {
      absl::MutexLock lock(&mutex_);
      const auto [it, made] = running_.try_emplace(key, nullptr);
      if (made) it->second = std::make_shared<Running>();
      running = it->second;
      mine = made;
    }
    if (!mine) return Wait(*running, operation, key);
    absl::StatusOr<T> result = work();
    absl::MutexLock lock(&mutex_);
    running->result = result;
    running_.erase(key);
    return result;
  }

 private:
  struct Running {
    std::optional<absl::StatusOr<T>> result;
  };

  // The reference that the caller took keeps `running`.
  absl::StatusOr<T> Wait(const Running& running,
                         const Operation& operation,
                         absl::string_view key) {
    const OperationWait wait(operation, mutex_);
    absl::MutexLock lock(&mutex_);
    const auto done = [&running] { return running.result.has_value(); };
    if (!wait.Await(absl::Condition(&done))) return operation.Error(key);
    return *running.result;
  }

  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, std::shared_ptr<Running>> running_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_STATE_JOIN_TABLE_H_
