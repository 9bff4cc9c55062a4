#ifndef CRISP_STORAGE_LAYER_BYTE_RING_H_
#define CRISP_STORAGE_LAYER_BYTE_RING_H_

#include <cstddef>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace crisp::storage {

// A bounded stream of bytes from one thread to another. Thread-safe for one producer and one
// consumer.
class ByteRing {
 public:
  static constexpr size_t kCapacity = 1u << 20;
  explicit ByteRing(size_t capacity = kCapacity)
      : capacity_(capacity), buffer_(std::make_unique_for_overwrite<char[]>(capacity)) {}

  // Adds bytes. Blocks while the ring is full. Cancelled after Abandon().
  absl::Status Push(absl::string_view bytes);
  // Called when the producer is done. The consumer gets the rest, then the end or `status`.
  void Close(absl::Status status);

  // Takes bytes. Blocks while the ring is empty. 0 at the end, or Close()'s error.
  absl::StatusOr<size_t> Pop(char* buffer, size_t size);
  // Called when the consumer wants no more. Further bytes are dropped, to the end.
  void Discard();
  // Called when the consumer wants no more and the producer is to stop.
  void Abandon();

 private:
  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return used_ < capacity_ || abandoned_ || discarding_;
  }
  bool HasData() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return used_ > 0 || closed_; }

  const size_t capacity_;
  const std::unique_ptr<char[]> buffer_;  // a small layer touches only its beginning
  absl::Mutex mutex_;
  size_t head_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t used_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;
  bool discarding_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_LAYER_BYTE_RING_H_
