#include "base/workers.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/thread.h"

namespace crisp {
namespace {

constexpr absl::Duration kIdleTime = absl::Seconds(5);

}  // namespace

Workers::~Workers() {
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
  const auto ended = [this] {
    mutex_.AssertReaderHeld();
    return threads_ == 0;
  };
  mutex_.Await(absl::Condition(&ended));
}

absl::Status Workers::Post(std::function<void()> work) { return Add(std::move(work), true); }

absl::Status Workers::PostNow(std::function<void()> work) { return Add(std::move(work), false); }

absl::Status Workers::Add(std::function<void()> work, bool may_wait) {
  absl::MutexLock lock(&mutex_);
  if (static_cast<int>(queue_.size()) >= idle_) {
    absl::Status more = absl::ResourceExhaustedError(
        absl::StrCat("all ", options_.most, " threads for this are busy"));
    if (threads_ < options_.most) more = Thread::StartDetached(options_.name, [this] { Run(); });
    if (more.ok()) {
      ++threads_;
    } else if (!may_wait || threads_ == 0) {
      return more;
    }
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
  const auto wanted = [this] {
    mutex_.AssertReaderHeld();
    return stopping_ || !queue_.empty();
  };
  for (;;) {
    ++idle_;
    const bool woken = mutex_.AwaitWithTimeout(absl::Condition(&wanted), kIdleTime);
    --idle_;
    if (queue_.empty()) {
      if (!woken && threads_ <= options_.least) continue;
      break;
    }
    std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    mutex_.Unlock();
    work();
    work = nullptr;  // what it holds may be the last of its kind: not under the mutex
    mutex_.Lock();
  }
  --threads_;
}

}  // namespace crisp
