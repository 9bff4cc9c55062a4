#ifndef CRISP_CRI_PODS_MEMORY_TRIMMER_H_
#define CRISP_CRI_PODS_MEMORY_TRIMMER_H_

#include <malloc.h>

#include <atomic>

#include "absl/time/clock.h"
#include "cri/state/pod_events.h"
#include "cri/state/work_queue.h"

namespace crisp::cri {

// Gives memory that requests have used back to the kernel, once the rush is over. Thread-safe.
class MemoryTrimmer final : public LifeObserver {
 public:
  // `queue` outlives it. Its jobs use this object.
  explicit MemoryTrimmer(WorkQueue& queue) : queue_(queue) {}

  // The making of a pod takes much memory.
  void On(const LifeEvent& event) override {
    if (event.point == LifePoint::kPodReady || event.point == LifePoint::kPodFailed) TrimSoon();
  }
  void TrimSoon() {
    if (posted_.exchange(true)) return;
    queue_.PostAt(absl::Now() + absl::Seconds(1), [this] {
      posted_ = false;
      (void)malloc_trim(0);
    });
  }

 private:
  WorkQueue& queue_;
  std::atomic<bool> posted_ = false;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_MEMORY_TRIMMER_H_
