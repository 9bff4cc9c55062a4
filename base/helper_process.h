#ifndef CRISP_BASE_HELPER_PROCESS_H_
#define CRISP_BASE_HELPER_PROCESS_H_

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/spawn.h"

namespace crisp {

enum class HelperStdio {
  kDaemons,  // the daemon's own: the helper's words go to the daemon's log
  kNone,     // /dev/null
};

// Starts the open program with an empty environment in a process group of its own. `fds` become 3,
// 4, …; every other descriptor must be close-on-exec. The caller reaps the process (ChildReaper).
inline absl::StatusOr<pid_t> SpawnHelper(int program,
                                         std::vector<std::string> argv,
                                         const std::vector<int>& fds,
                                         HelperStdio stdio) {
  SpawnOptions options{.argv = std::move(argv), .program = program};
  for (size_t i = 0; i < fds.size(); ++i) options.fds.emplace_back(fds[i], static_cast<int>(3 + i));
  options.null_stdio = stdio == HelperStdio::kNone;
  return Spawn(options);
}

}  // namespace crisp

#endif  // CRISP_BASE_HELPER_PROCESS_H_
