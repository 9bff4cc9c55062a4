#ifndef CRISP_CLI_COMMANDS_COMMANDS_H_
#define CRISP_CLI_COMMANDS_COMMANDS_H_

#include "cli/commands/command.h"

namespace crisp::cli {

// Each is in the file of its name, and adds its command.
void AddDoctor(Commands& commands);
void AddExplain(Commands& commands);
void AddExport(Commands& commands, CLI::App* parent = nullptr);
void AddHistory(Commands& commands, CLI::App* parent = nullptr);
void AddImages(Commands& commands);
void AddImport(Commands& commands, CLI::App* parent = nullptr);
void AddInfo(Commands& commands);

// All of them, in the order in which `crisp --help` lists them.
void AddAll(Commands& commands);

// The whole program: adds all commands, parses, runs. Returns the exit status.
int RunCrisp(const std::vector<std::string>& arguments);

}  // namespace crisp::cli

#endif  // CRISP_CLI_COMMANDS_COMMANDS_H_
