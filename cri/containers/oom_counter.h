#ifndef CRISP_CRI_CONTAINERS_OOM_COUNTER_H_
#define CRISP_CRI_CONTAINERS_OOM_COUNTER_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "cri/state/pod.h"

namespace crisp::cri {

// Counts the processes of containers that the kernel has killed for want of memory since the
// daemon's start. Thread-safe.
class OomCounter {
 public:
  // `total` is the count of the running container's group. Kills that an earlier daemon has counted
  // are not counted again.
  void Saw(Container& container, uint64_t total) { Count(container, total, total); }
  // The same for a container that has ended: nobody will look again.
  void SawLast(Container& container, uint64_t total) { Count(container, total, 0); }
  uint64_t count() const { return count_; }

 private:
  void Count(Container& container, uint64_t total, uint64_t seen_if_unknown) {
    absl::MutexLock lock(&container.mutex);
    count_ += total - std::min(total, container.oom_kills_seen.value_or(seen_if_unknown));
    container.oom_kills_seen = total;
  }

  std::atomic<uint64_t> count_ = 0;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_CONTAINERS_OOM_COUNTER_H_
