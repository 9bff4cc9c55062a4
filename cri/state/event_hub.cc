#include "cri/state/event_hub.h"

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "base/log.h"

namespace crisp::cri {

bool EventHub::HasReaders() const {
  absl::MutexLock lock(&mutex_);
  return !readers_.empty();
}

void EventHub::Publish(std::shared_ptr<const Event> event) {
  absl::MutexLock lock(&mutex_);
  for (Reader* reader : readers_) {
    if (reader->pending.size() < kMaxPending) {
      reader->pending.push_back(event);
      continue;
    }
    ++dropped_;
    if (reader->dropped++ % kMaxPending == 0) {
      LogWarning("events.dropped", {{"by_one_reader", reader->dropped}});
    }
  }
}

void EventHub::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
}

uint64_t EventHub::dropped() const {
  absl::MutexLock lock(&mutex_);
  return dropped_;
}

absl::Status EventHub::Read(const std::function<bool(const Event&)>& write,
                            const Operation& operation) {
  Reader reader;
  {
    absl::MutexLock lock(&mutex_);
    readers_.push_back(&reader);
  }
  const auto unsubscribe = absl::MakeCleanup([&] {
    absl::MutexLock lock(&mutex_);
    readers_.erase(std::remove(readers_.begin(), readers_.end(), &reader), readers_.end());
  });
  for (;;) {
    std::shared_ptr<const Event> event;
    {
      absl::MutexLock lock(&mutex_);
      const auto ready = [this, &reader] {
        mutex_.AssertReaderHeld();
        return stopped_ || !reader.pending.empty();
      };
      mutex_.AwaitWithTimeout(absl::Condition(&ready), absl::Milliseconds(500));
      if (!reader.pending.empty()) {
        event = std::move(reader.pending.front());
        reader.pending.pop_front();
      } else if (stopped_) {
        return absl::UnavailableError("the daemon is stopping");
      }
    }
    if (event != nullptr && !write(*event)) return absl::OkStatus();
    absl::Status status = operation.Check("container events");
    if (!status.ok()) return status;
  }
}

}  // namespace crisp::cri
