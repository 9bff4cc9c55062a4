#include "storage/early_fetch.h"

#include <utility>

namespace crisp::storage {
BlobsUnderWay::Hold BlobsUnderWay::Add(const std::string& digest) {
  absl::MutexLock lock(&mutex_);
  return AddLocked(digest);
}

BlobsUnderWay::Hold BlobsUnderWay::AddFirst(const std::string& digest) {
  absl::MutexLock lock(&mutex_);
  return fetches_.count(digest) > 0 ? nullptr : AddLocked(digest);
}

BlobsUnderWay::Hold BlobsUnderWay::AddLocked(const std::string& digest) {
  ++fetches_[digest];
  return Hold(this, [this, digest](const void*) {
    absl::MutexLock lock(&mutex_);
    if (--fetches_[digest] == 0) fetches_.erase(digest);
  });
}

EarlyFetch::EarlyFetch(Work work, Cancel cancel, BlobsUnderWay::Hold hold)
    : cancel_(std::move(cancel)), hold_(std::move(hold)) {
  thread_ = std::thread([this, work = std::move(work)] {
    const Cancel until(cancel_.deadline(), [this] { return Cancelled(); });
    absl::Status status = work(until);
    absl::MutexLock lock(&mutex_);
    result_ = std::move(status);
    done_ = true;
  });
}

EarlyFetch::~EarlyFetch() {
  abandoned_ = true;
  thread_.join();
}

bool EarlyFetch::Cancelled() {
  if (abandoned_ || !cancel_.Check("fetch").ok()) return true;
  absl::MutexLock lock(&mutex_);
  return wait_cancel_ != nullptr && !wait_cancel_->Check("fetch").ok();
}

// The work watches `cancel`: this only waits for its thread.
absl::Status EarlyFetch::Wait(const Cancel& cancel) {
  const auto done = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return done_; };
  absl::MutexLock lock(&mutex_);
  wait_cancel_ = &cancel;
  mutex_.Await(absl::Condition(&done));
  return result_;
}

}  // namespace crisp::storage
