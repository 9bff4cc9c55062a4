#include "streaming/session/workers.h"

#include "absl/time/time.h"
#include "base/thread.h"

namespace crisp::streaming {
namespace {

constexpr absl::Duration kIdleTime = absl::Seconds(5);

}  // namespace

Workers::~Workers() {
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
  const auto ended = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return threads_ == 0; };
  mutex_.Await(absl::Condition(&ended));
}

absl::Status Workers::Post(std::function<void()> work) {
  absl::MutexLock lock(&mutex_);
  if (static_cast<int>(queue_.size()) >= idle_ && threads_ < most_) {
    const absl::Status started = Thread::StartDetached("stream-call", [this] { Run(); });
    // Those that there are come to it when they are done with theirs.
    if (!started.ok() && threads_ == 0) return started;
    if (started.ok()) ++threads_;
  }
  queue_.push_back(std::move(work));
  return absl::OkStatus();
}

int Workers::threads() const {
  absl::MutexLock lock(&mutex_);
  return threads_;
}

void Workers::Run() {
  absl::MutexLock lock(&mutex_);
  const auto wanted = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !queue_.empty();
  };
  for (;;) {
    ++idle_;
    mutex_.AwaitWithTimeout(absl::Condition(&wanted), kIdleTime);
    --idle_;
    if (queue_.empty()) break;
    std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    mutex_.Unlock();
    work();
    work = nullptr;  // what it holds may be the last of its kind: not under the mutex
    mutex_.Lock();
  }
  --threads_;
}

}  // namespace crisp::streaming
