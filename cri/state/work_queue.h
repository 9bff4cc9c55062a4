#ifndef CRISP_CRI_STATE_WORK_QUEUE_H_
#define CRISP_CRI_STATE_WORK_QUEUE_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/thread.h"

namespace crisp::cri {

// Work that belongs to no RPC: exits, escalations, undoing. A few threads run jobs in the order of
// their due times. Thread-safe. The destructor lets running jobs end and drops the others. What
// those were to undo is recorded, and undone at the next start.
class WorkQueue {
 public:
  explicit WorkQueue(int threads) : wanted_(threads) {}
  ~WorkQueue();
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  // Starts the threads. Jobs that were posted before wait for that. ResourceExhausted if there are
  // none.
  absl::Status Start();

  void Post(std::function<void()> job) { PostAt(absl::InfinitePast(), std::move(job)); }
  void PostAt(absl::Time when, std::function<void()> job);

  // Runs `job` until it returns OK, with growing pauses (50 ms up to 30 s). `what` goes to the log
  // when it fails.
  void UntilDone(std::string what, std::function<absl::Status()> job);

  // Runs no job any more. Returns when none is running. Idempotent.
  void Stop();

 private:
  void Loop();
  void Attempt(std::string what, std::function<absl::Status()> job, absl::Duration pause);

  absl::Mutex mutex_;
  std::multimap<absl::Time, std::function<void()>> jobs_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  absl::CondVar changed_;
  const int wanted_;
  std::vector<Thread> threads_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_STATE_WORK_QUEUE_H_
