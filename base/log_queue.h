#ifndef CRISP_BASE_LOG_QUEUE_H_
#define CRISP_BASE_LOG_QUEUE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace crisp {

// Whole lines on their way to a descriptor. Until Start() the thread that adds a line writes it;
// from then on a thread of the queue's does. Lives as long as the process. Thread-safe.
class LogQueue {
 public:
  static constexpr size_t kMaxBytes = 1 << 20;  // of lines that wait to be written

  // `dropped_line` makes the line that says how many lines were dropped.
  LogQueue(int fd, std::string (*dropped_line)(uint64_t)) : fd_(fd), dropped_line_(dropped_line) {}

  absl::Status Start();
  void Add(absl::string_view line);
  bool Flush(absl::Duration limit);
  uint64_t dropped() const { return dropped_; }

 private:
  void Run();
  void Write(absl::string_view bytes) const;
  // Called in a crashing process. Gives the writer some time and takes no lock.
  static void OnCrash(int signal);

  const int fd_;
  std::string (*const dropped_line_)(uint64_t);
  absl::Mutex mutex_;
  bool started_ ABSL_GUARDED_BY(mutex_) = false;
  std::string waiting_ ABSL_GUARDED_BY(mutex_);
  uint64_t told_ ABSL_GUARDED_BY(mutex_) = 0;  // of dropped_
  std::atomic<uint64_t> dropped_{0};
  std::atomic<size_t> unwritten_{0};  // bytes, including those that are being written
};

}  // namespace crisp

#endif  // CRISP_BASE_LOG_QUEUE_H_
