#include "cri/state/work_queue.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"

namespace crisp::cri {

absl::Status WorkQueue::Start() {
  for (int i = 0; i < wanted_; ++i) {
    CRISP_ASSIGN_OR_RETURN(Thread thread, Thread::Start("work", [this] { Loop(); }));
    threads_.push_back(std::move(thread));
  }
  return absl::OkStatus();
}

WorkQueue::~WorkQueue() { Stop(); }

void WorkQueue::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    jobs_.clear();
    changed_.SignalAll();
  }
  for (Thread& thread : threads_) thread.Join();
}

void WorkQueue::PostAt(absl::Time when, std::function<void()> job) {
  absl::MutexLock lock(&mutex_);
  if (stopped_) return;
  jobs_.emplace(when, std::move(job));
  changed_.SignalAll();
}

void WorkQueue::UntilDone(std::string what, std::function<absl::Status()> job) {
  Post([this, what = std::move(what), job = std::move(job)]() mutable {
    Attempt(std::move(what), std::move(job), absl::Milliseconds(50));
  });
}

void WorkQueue::Attempt(std::string what, std::function<absl::Status()> job, absl::Duration pause) {
  const absl::Status status = job();
  if (status.ok()) return;
  // The first failures are often a kernel that has not finished yet: not worth a line.
  if (pause > absl::Milliseconds(500)) {
    LogWarning("cleanup.retry", {{"what", what}, {"error", status.ToString()}});
  }
  PostAt(absl::Now() + pause,
         [this, what = std::move(what), job = std::move(job), pause]() mutable {
           Attempt(std::move(what), std::move(job), std::min(pause * 2, absl::Seconds(30)));
         });
}

void WorkQueue::Loop() {
  for (;;) {
    std::function<void()> job;
    {
      absl::MutexLock lock(&mutex_);
      for (;;) {
        if (stopped_) return;
        if (jobs_.empty()) {
          changed_.Wait(&mutex_);
          continue;
        }
        auto first = jobs_.begin();
        if (first->first <= absl::Now()) {
          job = std::move(first->second);
          jobs_.erase(first);
          break;
        }
        changed_.WaitWithDeadline(&mutex_, first->first);
      }
    }
    job();
  }
}

}  // namespace crisp::cri
