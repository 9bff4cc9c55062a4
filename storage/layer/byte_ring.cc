#include "storage/layer/byte_ring.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace crisp::storage {

// Each side copies outside of the lock: the producer owns the free part of the buffer, the consumer
// the used part, and only the indices are shared.
absl::Status ByteRing::Push(absl::string_view bytes) {
  while (!bytes.empty()) {
    size_t at, room;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &ByteRing::HasRoom));
      if (abandoned_) return absl::CancelledError("nobody reads on");
      if (discarding_) return absl::OkStatus();
      at = (head_ + used_) % capacity_;
      room = std::min(capacity_ - used_, capacity_ - at);
    }
    const size_t n = std::min(room, bytes.size());
    memcpy(buffer_.get() + at, bytes.data(), n);
    bytes.remove_prefix(n);
    absl::MutexLock lock(&mutex_);
    used_ += n;
  }
  return absl::OkStatus();
}

void ByteRing::Close(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  closed_ = true;
  status_ = std::move(status);
}

absl::StatusOr<size_t> ByteRing::Pop(char* buffer, size_t size) {
  size_t at, available;
  {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(this, &ByteRing::HasData));
    if (used_ == 0) {
      if (!status_.ok()) return status_;
      return size_t{0};
    }
    at = head_;
    available = std::min(used_, capacity_ - head_);
  }
  const size_t n = std::min(available, size);
  memcpy(buffer, buffer_.get() + at, n);
  absl::MutexLock lock(&mutex_);
  head_ = (head_ + n) % capacity_;
  used_ -= n;
  return n;
}

void ByteRing::Discard() {
  absl::MutexLock lock(&mutex_);
  discarding_ = true;
}

void ByteRing::Abandon() {
  absl::MutexLock lock(&mutex_);
  abandoned_ = true;
}

}  // namespace crisp::storage
