#ifndef CRISP_CLI_COMMANDS_PROCESSES_H_
#define CRISP_CLI_COMMANDS_PROCESSES_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace crisp::cli {

// A process of this node, as /proc/PID tells.
struct NodeProcess {
  int64_t pid = 0;
  int64_t parent = 0;
  uint32_t uid = 0;  // effective, of the node
  char state = '?';  // R, S, D, Z, …
  absl::Duration cpu_time;
  absl::Duration started;  // after the boot
  uint64_t rss_bytes = 0;
  std::string command;  // with its arguments; [NAME] if it has none, as a zombie
};

// Reads /proc/PID/stat, status and cmdline below `proc`. NotFound if there is no such process (any
// more), PermissionDenied if this user may not look.
absl::StatusOr<NodeProcess> ReadProcess(const std::string& proc, int64_t pid);

// Pure. `ticks` is sysconf(_SC_CLK_TCK), `page` the size of a page. InvalidArgument for what is not
// of these forms.
absl::StatusOr<NodeProcess> ParseProcess(const std::string& stat,
                                         const std::string& status,
                                         const std::string& cmdline,
                                         int64_t ticks,
                                         uint64_t page);

}  // namespace crisp::cli

#endif  // CRISP_CLI_COMMANDS_PROCESSES_H_
