#ifndef CRISP_BASE_SUBPROCESS_H_
#define CRISP_BASE_SUBPROCESS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/operation.h"
#include "base/unique_fd.h"

namespace crisp {

// Runs a foreign program (a CNI plugin, the unpacker) to its end. Never used on the life-cycle path
// of a pod with the built-in network.
struct Command {
  std::vector<std::string> argv;  // argv[0] is an absolute path, or unused when exe_fd is set
  int exe_fd = -1;                // run this open file instead (a sealed memfd)
  std::vector<std::string> env;   // the whole environment
  std::string input;              // given on stdin, which is then closed
  // Extra descriptors: (ours, number in the child ≥ 3).
  std::vector<std::pair<int, int>> fds;
  size_t max_output = 4u << 20;  // of stdout and of stderr each; more ends the child
};

struct CommandResult {
  int exit_code = 0;   // 128 + signal when a signal ended it
  std::string output;  // stdout
  std::string errors;  // stderr
};

// Spawns without copying page tables (posix_spawn), in a process group of its own, with every other
// descriptor closed. When `operation` ends, the whole group is killed and reaped, and operation's
// error returned. A non-zero exit is a result, not an error. NotFound if the program is absent.
absl::StatusOr<CommandResult> RunCommand(const Command& command, const Operation& operation);

}  // namespace crisp

#endif  // CRISP_BASE_SUBPROCESS_H_
