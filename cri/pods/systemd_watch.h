#ifndef CRISP_CRI_PODS_SYSTEMD_WATCH_H_
#define CRISP_CRI_PODS_SYSTEMD_WATCH_H_

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "cri/state/work_queue.h"

namespace crisp::cri {

// Whether new pods can be had from what is not crispd's own: with the systemd driver, from systemd.
// Asked ahead, for Status must not wait for anybody. Thread-safe.
class SystemdWatch {
 public:
  // `background` outlives it, but for its jobs.
  explicit SystemdWatch(WorkQueue& background) : background_(background) {}

  // Asks every few seconds from now on.
  void Begin() {
    background_.Post([this] { Ask(/*failed_before=*/false); });
  }
  // The last answer; OK as long as nobody has asked.
  absl::Status answer() const;

 private:
  void Ask(bool failed_before);

  WorkQueue& background_;
  mutable absl::Mutex mutex_;
  absl::Status answer_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_SYSTEMD_WATCH_H_
