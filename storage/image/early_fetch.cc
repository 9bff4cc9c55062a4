#include "storage/image/early_fetch.h"

#include <utility>

#include "absl/time/time.h"
#include "base/status.h"

namespace crisp::storage {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(20);

}  // namespace

BlobsUnderWay::Hold BlobsUnderWay::Add(const std::string& digest) {
  absl::MutexLock lock(&mutex_);
  return AddLocked(digest, false);
}

BlobsUnderWay::Hold BlobsUnderWay::AddFirst(const std::string& digest) {
  absl::MutexLock lock(&mutex_);
  return fetches_.count(digest) > 0 ? nullptr : AddLocked(digest, true);
}

BlobsUnderWay::Hold BlobsUnderWay::AddLocked(const std::string& digest, bool first) {
  ++fetches_[digest];
  if (first) first_.insert(digest);
  return Hold(this, [this, digest, first](const void*) {
    absl::MutexLock lock(&mutex_);
    if (--fetches_[digest] == 0) fetches_.erase(digest);
    if (first) first_.erase(digest);
  });
}

absl::Status BlobsUnderWay::AwaitFirst(const std::string& digest, const Operation& operation) {
  const auto over = [&]()
                        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return first_.count(digest) == 0; };
  absl::MutexLock lock(&mutex_);
  while (!mutex_.AwaitWithTimeout(absl::Condition(&over), kPoll)) {
    CRISP_RETURN_IF_ERROR(operation.Check("wait for a layer"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<EarlyFetch>> EarlyFetch::Begin(Work work,
                                                              Operation operation,
                                                              BlobsUnderWay::Hold hold) {
  std::unique_ptr<EarlyFetch> fetch(new EarlyFetch(std::move(operation), std::move(hold)));
  CRISP_ASSIGN_OR_RETURN(fetch->thread_,
                         Thread::Start("early-fetch", [self = fetch.get(), work = std::move(work)] {
                           self->Run(work);
                         }));
  return fetch;
}

void EarlyFetch::Run(const Work& work) {
  const Operation until(operation_.deadline(), [this] { return Cancelled(); });
  absl::Status status = work(until);
  absl::MutexLock lock(&mutex_);
  result_ = std::move(status);
  done_ = true;
}

EarlyFetch::~EarlyFetch() {
  abandoned_ = true;
  thread_.Join();
}

bool EarlyFetch::Cancelled() {
  if (abandoned_ || !operation_.Check("fetch").ok()) return true;
  absl::MutexLock lock(&mutex_);
  return wait_cancel_ != nullptr && !wait_cancel_->Check("fetch").ok();
}

// The work watches `operation`: this only waits for its thread.
absl::Status EarlyFetch::Wait(const Operation& operation) {
  const auto done = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return done_; };
  absl::MutexLock lock(&mutex_);
  wait_cancel_ = &operation;
  mutex_.Await(absl::Condition(&done));
  return result_;
}

}  // namespace crisp::storage
