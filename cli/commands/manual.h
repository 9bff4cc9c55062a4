#ifndef CRISP_CLI_COMMANDS_MANUAL_H_
#define CRISP_CLI_COMMANDS_MANUAL_H_

#include <map>
#include <string>

#include "cli/commands/command.h"

namespace crisp::cli {

// The manual in mdoc, from the tree of commands: by the name of its file, "crisp.1" and a page for
// each command, as "crisp-ps.1" and "crisp-images-list.1". Pure.
std::map<std::string, std::string> ManualPages(const Commands& commands);

}  // namespace crisp::cli

#endif  // CRISP_CLI_COMMANDS_MANUAL_H_
