#include "storage/image/early_fetch.h"

#include <utility>

#include "absl/time/time.h"
#include "base/status.h"

namespace crisp::storage {

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
  const OperationWait wait(operation, mutex_);
  absl::MutexLock lock(&mutex_);
  const auto over = [this, &digest] {
    mutex_.AssertReaderHeld();
    return first_.count(digest) == 0;
  };
  return wait.Await(absl::Condition(&over)) ? absl::OkStatus()
                                            : operation.Error("wait for a layer");
}

absl::StatusOr<std::unique_ptr<EarlyFetch>> EarlyFetch::Begin(Work work,
                                                              const Operation& operation,
                                                              BlobsUnderWay::Hold hold) {
  std::unique_ptr<EarlyFetch> fetch(new EarlyFetch(operation, std::move(hold)));
  CRISP_ASSIGN_OR_RETURN(fetch->thread_,
                         Thread::Start("early-fetch", [self = fetch.get(), work = std::move(work)] {
                           self->Run(work);
                         }));
  return fetch;
}

void EarlyFetch::Run(const Work& work) {
  absl::Status status = work(source_.operation());
  absl::MutexLock lock(&mutex_);
  result_ = std::move(status);
  done_ = true;
}

EarlyFetch::~EarlyFetch() {
  source_.Cancel();
  thread_.Join();
}

absl::Status EarlyFetch::Wait(const Operation& operation) {
  {
    const OperationWait wait(operation, mutex_);
    absl::MutexLock lock(&mutex_);
    if (wait.Await(absl::Condition(&done_))) return result_;
  }
  source_.Cancel();
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(&done_));
  return result_;
}

}  // namespace crisp::storage
