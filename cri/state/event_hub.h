#ifndef CRISP_CRI_STATE_EVENT_HUB_H_
#define CRISP_CRI_STATE_EVENT_HUB_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/operation.h"
#include "cri/api/api.pb.h"

namespace crisp::cri {

// Hands container events to any number of readers. Publish() never blocks: a reader that is
// kMaxPending behind loses the newest ones, which are counted and logged; others lose nothing.
// Thread-safe.
class EventHub {
 public:
  static constexpr size_t kMaxPending = 1000;
  using Event = ::runtime::v1::ContainerEventResponse;

  // True if somebody listens. Ask first, because making an event costs more than dropping it.
  bool HasReaders() const;
  void Publish(std::shared_ptr<const Event> event);

  // Hands events to `write` until that returns false (OK), `operation` ends (its error) or the hub
  // stops (Unavailable).
  absl::Status Read(const std::function<bool(const Event&)>& write, const Operation& operation);
  void Stop();
  // The number of events that some reader lost since the start.
  uint64_t dropped() const;

 private:
  struct Reader {
    std::deque<std::shared_ptr<const Event>> pending;
    uint64_t dropped = 0;
  };
  mutable absl::Mutex mutex_;
  std::vector<Reader*> readers_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t dropped_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_STATE_EVENT_HUB_H_
