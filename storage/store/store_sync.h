#ifndef CRISP_STORAGE_STORE_STORE_SYNC_H_
#define CRISP_STORAGE_STORE_STORE_SYNC_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/thread.h"
#include "base/unique_fd.h"

namespace crisp::storage {

// Makes the writes of one pull durable. A long pull has its first bytes on the disk while the last
// ones still come. Otherwise the disk would idle during the fetch, and the end of the fetch would
// wait for the disk. A few layers that are files are synced by themselves. For trees of many files,
// and for many layers, the whole file system is synced, with everything that others have written
// there. Thread-safe.
class StoreSync {
 public:
  // `root` is a directory of the file system. From now on an error of writing anything back is
  // seen.
  static absl::StatusOr<std::unique_ptr<StoreSync>> Open(const std::string& root);
  ~StoreSync();
  StoreSync(const StoreSync&) = delete;
  StoreSync& operator=(const StoreSync&) = delete;

  // Adds a file that Finish() is to sync. `file` is part of this layer, being written or complete,
  // or a directory that has its last name. An error of writing it back from its opening on is seen.
  absl::Status Add(int64_t layer, int file);

  // Every so often starts to write back, on a thread of its own; does not wait for it. `bytes` as
  // they came, compressed; `inodes` of layers that are complete.
  void NoteWritten(uint64_t bytes, uint64_t inodes = 0);
  // OK if the layers are durable, and also that `directory` names them. A layer to which nothing
  // was added (a tree, or one of another pull) may be anywhere on the file system. Call once, when
  // everything is written.
  absl::Status Finish(const std::vector<int64_t>& layers, const std::string& directory);

  static constexpr uint64_t kEvery = 32u << 20;  // bytes, an inode counting for kInode
  static constexpr uint64_t kInode = 16u << 10;
  // Each layer takes two flushes of the disk. The whole file system takes one.
  static constexpr size_t kMostByFile = 16;  // layers

 private:
  explicit StoreSync(UniqueFd root) : root_(std::move(root)) {}
  void Run();
  void Stop();
  absl::Status WriteSome();
  bool CanSyncByFile(const std::vector<int64_t>& layers) const;

  const UniqueFd root_;
  mutable absl::Mutex mutex_;
  std::map<int64_t, std::vector<UniqueFd>> files_ ABSL_GUARDED_BY(mutex_);  // by layer; only grows
  uint64_t unsynced_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status failed_ ABSL_GUARDED_BY(mutex_);  // the kernel tells of a failure once
  Thread thread_;                                // from the first write-back on
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_STORE_STORE_SYNC_H_
