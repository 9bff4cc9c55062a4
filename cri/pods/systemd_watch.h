#ifndef CRISP_CRI_PODS_SYSTEMD_WATCH_H_
#define CRISP_CRI_PODS_SYSTEMD_WATCH_H_

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "cri/state/work_queue.h"

namespace crisp::cri {

// Watches what new pods need of others than crispd: with the systemd driver, of systemd. It asks
// ahead, because Status must not wait for anybody. Thread-safe.
class SystemdWatch {
 public:
  // `background` outlives it. Its jobs use this object.
  explicit SystemdWatch(WorkQueue& background) : background_(background) {}

  // Asks every few seconds from now on.
  void Begin() {
    background_.Post([this] { Ask(/*failed_before=*/false); });
  }
  // The last answer; OK before the first one.
  absl::Status answer() const;

 private:
  void Ask(bool failed_before);

  WorkQueue& background_;
  mutable absl::Mutex mutex_;
  absl::Status answer_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_SYSTEMD_WATCH_H_
