#ifndef CRISP_BASE_SPAWN_H_
#define CRISP_BASE_SPAWN_H_

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace crisp {

// A program to be started.
struct SpawnOptions {
  std::vector<std::string> argv;
  std::string path;              // of the program; empty: argv[0]
  bool search_path = false;      // it is looked for in PATH
  int program = -1;              // or this open file is the program
  std::vector<std::string> env;  // the whole environment
  // The descriptors that it gets: (ours, its number), in any order. All others must be
  // close-on-exec, but 0, 1 and 2.
  std::vector<std::pair<int, int>> fds;
  // What 0, 1 and 2 are where `fds` does not say: /dev/null, or what ours are.
  bool null_stdio = false;
  // False: it stays in our process group, and ignores the signals that we ignore. So a terminal and
  // nohup(1) do with it what they do with us.
  bool own_group = true;
};

// Starts it without a copy of our page tables (posix_spawn). No signal is blocked in it, and in a
// group of its own none is ignored. The caller reaps it. Returns when the program is run: NotFound
// if there is none, and so on.
absl::StatusOr<pid_t> Spawn(const SpawnOptions& options);

// This process's environment, for SpawnOptions::env.
std::vector<std::string> OwnEnvironment();

// Waits for a child's end and reaps it. False: it lives on.
bool ReapChild(pid_t pid, absl::Duration patience);

// Children that were told to end, of which nobody knows when they do: the kernel may take for ever
// if a disk hangs. Those that are left when this object goes are passed on to the next one.
// Thread-safe; nothing but the destructor waits.
class ChildReaper {
 public:
  // The destructor waits `patience` for each that is left.
  explicit ChildReaper(absl::Duration patience = absl::ZeroDuration());
  ~ChildReaper();
  ChildReaper(const ChildReaper&) = delete;
  ChildReaper& operator=(const ChildReaper&) = delete;

  void Add(pid_t pid);
  // Reaps those that have ended; how many have not.
  size_t Reap();

 private:
  const absl::Duration patience_;
  absl::Mutex mutex_;
  std::vector<pid_t> pids_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp

#endif  // CRISP_BASE_SPAWN_H_
