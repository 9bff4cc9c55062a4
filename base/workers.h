#ifndef CRISP_BASE_WORKERS_H_
#define CRISP_BASE_WORKERS_H_

#include <deque>
#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace crisp {

struct WorkersOptions {
  const char* name = "worker";  // of the threads; 15 bytes
  int most = 128;
  int least = 0;  // these do not end when idle, once they were there
};

// Threads for calls that may block, so that those who ask never wait for one another. They are made
// when there is more to do than idle threads, and end when they were idle for some seconds: a quiet
// node has none but the least. Thread-safe.
class Workers {
 public:
  explicit Workers(WorkersOptions options) : options_(options) {}
  // Does what is queued, and then ends the threads. Nothing may be posted any more.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // RESOURCE_EXHAUSTED, and `work` never runs, when there is no thread and none to be had. Where
  // all are busy and no other is to be had, they come to it later.
  absl::Status Post(std::function<void()> work);
  // RESOURCE_EXHAUSTED, and `work` never runs, unless a thread has nothing else to do or can be
  // had: for work that the others may keep waiting for ever.
  absl::Status PostNow(std::function<void()> work);
  int threads() const;

 private:
  absl::Status Add(std::function<void()> work, bool may_wait);
  void Run();

  const WorkersOptions options_;
  mutable absl::Mutex mutex_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  int threads_ ABSL_GUARDED_BY(mutex_) = 0;
  int idle_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace crisp

#endif  // CRISP_BASE_WORKERS_H_
