#ifndef CRISP_CLI_COMMANDS_LIFE_H_
#define CRISP_CLI_COMMANDS_LIFE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "cli/client/client.h"

namespace crisp::cli {

// Calls that end pods and containers. They wait as long as the daemon may need.

// SIGKILL follows the stop signal after so many seconds; 0 kills at once.
absl::Status StopContainer(Client& client, const std::string& id, int64_t timeout);
absl::Status RemoveContainer(Client& client, const std::string& id);
absl::Status StopPod(Client& client, const std::string& id);
// Stops the pod if it runs, and removes it with its containers.
absl::Status RemovePod(Client& client, const std::string& id);

}  // namespace crisp::cli

#endif  // CRISP_CLI_COMMANDS_LIFE_H_
