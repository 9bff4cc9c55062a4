#ifndef CRISP_BASE_HELPER_PROCESS_H_
#define CRISP_BASE_HELPER_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace crisp {

enum class HelperStdio {
  kDaemons,  // the daemon's own: the helper's words go to the daemon's log
  kNone,     // /dev/null
};

// Starts the open program with an empty environment in a process group of its own. `fds` become 3,
// 4, …; every other descriptor must be close-on-exec. The caller reaps the process (ChildReaper).
absl::StatusOr<pid_t> SpawnHelper(int program,
                                  std::vector<std::string> argv,
                                  const std::vector<int>& fds,
                                  HelperStdio stdio);

// Children that were told to end, and that end at some unknown time. Thread-safe, never waits.
class ChildReaper {
 public:
  ChildReaper() = default;
  ChildReaper(const ChildReaper&) = delete;
  ChildReaper& operator=(const ChildReaper&) = delete;

  void Add(pid_t pid);
  // Reaps those that have ended. Returns the number of those that have not.
  size_t Reap();

 private:
  absl::Mutex mutex_;
  std::vector<pid_t> pids_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp

#endif  // CRISP_BASE_HELPER_PROCESS_H_
