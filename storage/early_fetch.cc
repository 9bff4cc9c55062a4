#include "storage/early_fetch.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace crisp::storage {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(20);

}  // namespace

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

EarlyFetch::EarlyFetch(RegistrySession& session,
                       Descriptor blob,
                       Cancel cancel,
                       BlobsUnderWay::Hold hold)
    : cancel_(std::move(cancel)), hold_(std::move(hold)) {
  thread_ = std::thread([this, &session, blob = std::move(blob)] {
    const Cancel until(cancel_.deadline(), [this] { return Cancelled(); });
    absl::Status status =
        session.FetchBlob(blob, [this](absl::string_view bytes) { return Take(bytes); }, until);
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
  return run_cancel_ != nullptr && !run_cancel_->Check("fetch").ok();
}

absl::Status EarlyFetch::Take(absl::string_view bytes) {
  const Sink* sink = nullptr;
  while (sink == nullptr) {
    if (Cancelled()) return absl::CancelledError("fetch: cancelled before it was of use");
    const auto told = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return sink_ != nullptr; };
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(&told), kPoll);
    sink = sink_;
  }
  return (*sink)(bytes);
}

// The fetch watches `cancel`, and the sink does: this only waits for its thread.
absl::Status EarlyFetch::Run(const Sink& sink, const Cancel& cancel) {
  const auto done = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return done_; };
  absl::MutexLock lock(&mutex_);
  sink_ = &sink;
  run_cancel_ = &cancel;
  mutex_.Await(absl::Condition(&done));
  return result_;
}

void EarlyFetches::Begin(RegistrySession& session,
                         const Descriptor& blob,
                         const Cancel& cancel,
                         BlobsUnderWay::Hold hold) {
  absl::MutexLock lock(&mutex_);
  fetches_[blob.digest] = std::make_unique<EarlyFetch>(session, blob, cancel, std::move(hold));
}

std::unique_ptr<EarlyFetch> EarlyFetches::Take(const std::string& digest) {
  absl::MutexLock lock(&mutex_);
  const auto it = fetches_.find(digest);
  if (it == fetches_.end()) return nullptr;
  std::unique_ptr<EarlyFetch> fetch = std::move(it->second);
  fetches_.erase(it);
  return fetch;
}

}  // namespace crisp::storage
