#ifndef CRISP_CLI_COMMANDS_SUGGEST_H_
#define CRISP_CLI_COMMANDS_SUGGEST_H_

#include <string>
#include <vector>

#include "cli/commands/command.h"

namespace crisp::cli {

// What is wrong with a command line that did not parse, as far as it is a word that is not known:
// "there is no command imgaes: did you mean images?". Empty if every word is known. Pure.
std::string UnknownWord(const Commands& commands, const std::vector<std::string>& arguments);

}  // namespace crisp::cli

#endif  // CRISP_CLI_COMMANDS_SUGGEST_H_
