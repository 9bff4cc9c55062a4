#include "storage/store/store_sync.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/file.h"
#include "base/status.h"

namespace crisp::storage {
namespace {

absl::Status SyncAll(int root) {
  return syncfs(root) == 0 ? absl::OkStatus() : ErrnoError(errno, "sync the image store");
}

absl::Status SyncOne(int fd) {
  return fsync(fd) == 0 ? absl::OkStatus() : ErrnoError(errno, "sync a layer");
}

// A hint: fsync tells what became of it. Directories have nothing of the kind.
void StartWriting(int fd) { (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE); }

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
  thread_.Join();
}

void StoreSync::NoteWritten(uint64_t bytes, uint64_t inodes) {
  absl::MutexLock lock(&mutex_);
  unsynced_ += bytes + inodes * kInode;
  if (unsynced_ < kEvery || thread_.joinable()) return;
  absl::StatusOr<Thread> started = Thread::Start("store-sync", [this] { Run(); });
  if (started.ok()) thread_ = *std::move(started);  // else all is left to Finish()
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
    absl::Status status = WriteSome();
    absl::MutexLock lock(&mutex_);
    failed_.Update(std::move(status));
  }
}

absl::Status StoreSync::WriteSome() {
  std::vector<int> files;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [layer, fds] : files_) {
      for (const UniqueFd& fd : fds) files.push_back(fd.get());
    }
  }
  if (files.empty()) return SyncAll(root_.get());
  for (const int fd : files) StartWriting(fd);
  for (const int fd : files) CRISP_RETURN_IF_ERROR(SyncOne(fd));
  return absl::OkStatus();
}

absl::Status StoreSync::Add(int64_t layer, int file) {
  UniqueFd copy(fcntl(file, F_DUPFD_CLOEXEC, 3));
  if (!copy) return ErrnoError(errno, "duplicate a layer's file");
  absl::MutexLock lock(&mutex_);
  files_[layer].push_back(std::move(copy));
  return absl::OkStatus();
}

bool StoreSync::CanSyncByFile(const std::vector<int64_t>& layers) const {
  if (layers.size() > kMostByFile) return false;
  absl::MutexLock lock(&mutex_);
  for (const int64_t layer : layers) {
    if (files_.count(layer) == 0) return false;
  }
  return true;
}

// One after another, when all data is on its way: the first has the file system's journal written
// with what the others need of it.
absl::Status StoreSync::Finish(const std::vector<int64_t>& layers, const std::string& directory) {
  Stop();
  const bool by_files = CanSyncByFile(layers);
  absl::MutexLock lock(&mutex_);
  if (!failed_.ok()) return failed_;
  if (!by_files) return SyncAll(root_.get());
  for (const int64_t layer : layers) {
    for (const UniqueFd& fd : files_[layer]) StartWriting(fd.get());
  }
  for (const int64_t layer : layers) {
    for (const UniqueFd& fd : files_[layer]) CRISP_RETURN_IF_ERROR(SyncOne(fd.get()));
  }
  CRISP_ASSIGN_OR_RETURN(const UniqueFd names, crisp::Open(directory, O_RDONLY | O_DIRECTORY));
  return SyncOne(names.get());
}

}  // namespace crisp::storage
