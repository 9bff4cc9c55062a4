#ifndef CRISP_CLI_COMMANDS_COMMANDS_H_
#define CRISP_CLI_COMMANDS_COMMANDS_H_

#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands/command.h"

namespace crisp::cli {

// Each is in the file of its name and adds its command; unpause stands with pause, load with
// import, save with export.
void AddCompletion(Commands& commands);
void AddDf(Commands& commands);
void AddDiff(Commands& commands);
void AddDoctor(Commands& commands);
void AddEvents(Commands& commands);
void AddExplain(Commands& commands);
void AddExport(Commands& commands, CLI::App* parent = nullptr);
void AddHistory(Commands& commands, CLI::App* parent = nullptr);
void AddImages(Commands& commands);
void AddImport(Commands& commands, CLI::App* parent = nullptr);
void AddInfo(Commands& commands);
void AddInspect(Commands& commands);
void AddKill(Commands& commands);
void AddLoad(Commands& commands);
void AddManual(Commands& commands);
void AddPause(Commands& commands);
void AddPods(Commands& commands);
void AddPrune(Commands& commands);
void AddPs(Commands& commands);
void AddPull(Commands& commands);
void AddRestart(Commands& commands);
void AddRm(Commands& commands);
void AddRmi(Commands& commands);
void AddSave(Commands& commands);
void AddStats(Commands& commands);
void AddStop(Commands& commands);
void AddTag(Commands& commands);
void AddTop(Commands& commands);
void AddUnpause(Commands& commands);

// All of them, in the order in which `crisp --help` lists them.
void AddAll(Commands& commands);

// The world around the program.
struct Surroundings {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool out_is_terminal = false;
  bool in_is_terminal = false;
  bool colours = false;
  absl::Time now = absl::InfinitePast();
  // Makes the client for what --address or CRISP_ADDRESS names; empty for neither.
  std::function<std::unique_ptr<Client>(const std::string& address)> connect;
};
// Those of the process.
Surroundings RealSurroundings();

// The whole program: adds all commands, parses, runs. Returns the exit status.
int RunCrisp(const std::vector<std::string>& arguments, const Surroundings& surroundings);

}  // namespace crisp::cli

#endif  // CRISP_CLI_COMMANDS_COMMANDS_H_
