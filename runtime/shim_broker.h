#ifndef CRISP_RUNTIME_SHIM_BROKER_H_
#define CRISP_RUNTIME_SHIM_BROKER_H_

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/cancel.h"
#include "base/unique_fd.h"
#include "runtime/shim_link.h"

namespace crisp::runtime {

// Starts shims through one broker process that runs from a sealed copy of the binary: the daemon
// itself never forks. Owns the copy and the broker, which ends with it. Thread-safe.
class ShimBroker {
 public:
  ShimBroker(std::string storage_root, uint64_t log_rate)
      : storage_root_(std::move(storage_root)), log_rate_(log_rate) {}
  ~ShimBroker() {
    absl::MutexLock lock(&mutex_);
    Stop();
  }

  absl::Status Load(const std::string& binary);
  // Hands `control` to a new shim. Starts the broker (again) when it is not there.
  absl::Status StartShim(uint64_t request_id, std::string plan, int control, const Cancel& cancel);
  // The same with a new spare, which does what it can of the `usual` plan and takes its pod's from
  // `control` later.
  absl::Status StartSpare(std::string usual, int control, const Cancel& cancel);

 private:
  absl::Status Send(const WireMessage& message, int control, const Cancel& cancel);
  absl::Status Spawn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Stop() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string storage_root_;
  const uint64_t log_rate_;  // see ShimPoolOptions
  UniqueFd binary_;
  absl::Mutex mutex_;
  UniqueFd socket_ ABSL_GUARDED_BY(mutex_);
  pid_t pid_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_SHIM_BROKER_H_
