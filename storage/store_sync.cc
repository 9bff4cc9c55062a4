#include "storage/store_sync.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/file.h"
#include "base/status.h"

namespace crisp::storage {
namespace {

absl::Status Sync(int root) {
  return syncfs(root) == 0 ? absl::OkStatus() : ErrnoError(errno, "sync the image store");
}

}  // namespace

absl::StatusOr<std::unique_ptr<StoreSync>> StoreSync::Open(const std::string& root) {
  CRISP_ASSIGN_OR_RETURN(UniqueFd fd, crisp::Open(root, O_RDONLY | O_DIRECTORY));
  return std::unique_ptr<StoreSync>(new StoreSync(std::move(fd)));
}

StoreSync::~StoreSync() { Stop(); }

void StoreSync::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void StoreSync::Wrote(uint64_t bytes, uint64_t inodes) {
  absl::MutexLock lock(&mutex_);
  unsynced_ += bytes + inodes * kInode;
  if (unsynced_ >= kEvery && !thread_.joinable()) thread_ = std::thread([this] { Run(); });
}

void StoreSync::Run() {
  const auto due = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || unsynced_ >= kEvery;
  };
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&due));
      if (stopping_) return;
      unsynced_ = 0;
    }
    absl::Status status = Sync(root_.get());
    absl::MutexLock lock(&mutex_);
    failed_.Update(std::move(status));
  }
}

absl::Status StoreSync::Finish() {
  Stop();
  {
    absl::MutexLock lock(&mutex_);
    if (!failed_.ok()) return failed_;
  }
  return Sync(root_.get());
}

}  // namespace crisp::storage
