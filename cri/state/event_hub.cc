#include "cri/state/event_hub.h"

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "base/log.h"
#include "base/status.h"

namespace crisp::cri {

bool EventHub::HasReaders() const {
  absl::MutexLock lock(&mutex_);
  return !readers_.empty();
}

void EventHub::Publish(std::shared_ptr<const Event> event) {
  std::vector<uint64_t> losses;  // to be told of
  {
    absl::MutexLock lock(&mutex_);
    for (Reader* reader : readers_) {
      if (reader->pending.size() < kMaxPending) {
        reader->pending.push_back(event);
        continue;
      }
      ++dropped_;
      if (reader->dropped++ % kMaxPending == 0) losses.push_back(reader->dropped);
    }
  }
  for (const uint64_t lost : losses) LogWarning("events.dropped", {{"by_one_reader", lost}});
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
  const OperationWait wait(operation, mutex_);
  for (;;) {
    std::shared_ptr<const Event> event;
    {
      absl::MutexLock lock(&mutex_);
      const auto ready = [this, &reader] {
        mutex_.AssertReaderHeld();
        return stopped_ || !reader.pending.empty();
      };
      if (!wait.Await(absl::Condition(&ready))) return operation.Error("container events");
      if (reader.pending.empty()) return absl::UnavailableError("the daemon is stopping");
      event = std::move(reader.pending.front());
      reader.pending.pop_front();
    }
    if (!write(*event)) return absl::OkStatus();
    CRISP_RETURN_IF_ERROR(operation.Check("container events"));
  }
}

}  // namespace crisp::cri
