#ifndef CRISP_RUNTIME_PATHS_HOST_PATHS_H_
#define CRISP_RUNTIME_PATHS_HOST_PATHS_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/spawn.h"
#include "base/unique_fd.h"
#include "runtime/paths/path_wire.h"

namespace crisp::runtime {

// The only way to paths that pods, volumes and log directories control. A path that hangs (NFS
// whose server is gone, FUSE whose daemon is) hangs a helper process, which holds nothing of the
// daemon's. The caller gets DeadlineExceeded, naming the path. A few helpers are kept and used
// again, so a call takes some tens of microseconds. While one is stuck at a path, further calls for
// that path fail at once. Thread-safe; takes no lock across a call.
class HostPaths {
 public:
  struct Options {
    std::string helper;                                 // crisp-paths
    absl::Duration timeout = absl::Seconds(30);         // of a call
    absl::Duration relabel_timeout = absl::Minutes(3);  // of one that labels a whole tree
    size_t most_stuck = 256;  // helpers; with so many, calls fail until one of them ends
  };
  // Keeps the program open, so that helpers are of the daemon's own version.
  static absl::StatusOr<std::unique_ptr<HostPaths>> Create(Options options);
  // Ends the helpers and waits for none.
  ~HostPaths();
  HostPaths(const HostPaths&) = delete;
  HostPaths& operator=(const HostPaths&) = delete;

  // Resolves the symlinks of each path. An absent path is made as a directory.
  absl::StatusOr<std::vector<std::string>> Resolve(const std::vector<std::string>& paths);
  absl::Status MakeDirs(const std::string& path);
  // Reads a regular file. ResourceExhausted if it has more than `limit` bytes.
  absl::StatusOr<std::string> Read(const std::string& path, size_t limit);
  using Links = runtime::Links;
  absl::StatusOr<HostNode> Stat(const std::string& path, Links links);
  // The devices below a directory, or the one device at the path. InvalidArgument for other files.
  absl::StatusOr<std::vector<HostNode>> Devices(const std::string& path);
  absl::StatusOr<std::vector<DeviceNumber>> BlockDevices(const std::string& pattern);
  // As RelabelTree(), within relabel_timeout.
  absl::Status Relabel(const std::string& path, const std::string& label);

  // The number of helpers that are stuck now.
  size_t Stuck();

 private:
  struct Helper;
  struct StuckHelper {
    pid_t pid;
    std::string path;
    absl::Time since;
  };
  explicit HostPaths(Options options);
  absl::StatusOr<std::vector<std::string>> Do(const std::vector<PathRequest>& requests,
                                              absl::Duration timeout);
  absl::StatusOr<std::string> DoOne(PathRequest request, absl::Duration timeout);
  absl::Status CheckStuck(const std::vector<PathRequest>& requests);
  absl::StatusOr<std::unique_ptr<Helper>> Take();
  absl::StatusOr<std::unique_ptr<Helper>> Spawn();
  void Keep(std::unique_ptr<Helper> helper);
  // Called while a call takes long, so that the next one does not wait for it.
  void CountAsSlow(Helper& helper);
  absl::Status GiveUp(std::unique_ptr<Helper> helper,
                      const std::string& path,
                      absl::Duration waited);
  absl::StatusOr<std::string> Exchange(Helper& helper,
                                       const std::string& frame,
                                       absl::Time deadline);

  const Options options_;
  UniqueFd program_;
  ChildReaper ended_;
  absl::Mutex mutex_;
  std::vector<std::unique_ptr<Helper>> idle_ ABSL_GUARDED_BY(mutex_);
  std::vector<StuckHelper> stuck_ ABSL_GUARDED_BY(mutex_);
  int brisk_ ABSL_GUARDED_BY(mutex_) = 0;  // helpers at work for no more than a few milliseconds
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_PATHS_HOST_PATHS_H_
