#ifndef CRISP_CLI_COMMANDS_TARGETS_H_
#define CRISP_CLI_COMMANDS_TARGETS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/commands/command.h"

namespace crisp::cli {

// Does the same to each target. Prints the targets that succeeded, as they were named, and the
// errors of the others; one that fails keeps no other from its turn. The result is an error without
// a message if one has failed, for all was said.
inline absl::Status ForEachTarget(const std::vector<std::string>& targets,
                                  Context& context,
                                  const std::function<absl::Status(const std::string&)>& act) {
  bool failed = false;
  for (const std::string& target : targets) {
    const absl::Status status = act(target);
    if (status.ok()) {
      context.out << target << "\n";
      continue;
    }
    failed = true;
    context.err << "crisp: " << status.message() << "\n";
    if (absl::IsUnavailable(status)) break;  // the daemon is away for the others as well
  }
  return failed ? absl::UnknownError("") : absl::OkStatus();
}

}  // namespace crisp::cli

#endif  // CRISP_CLI_COMMANDS_TARGETS_H_
