#include <stdlib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/commands/commands.h"
#include "cri/node/node_info.h"

namespace crisp::cli {
namespace {

// What `crisp` has in front of every command.
struct Globals {
  std::string address;
};

void AddGlobals(CLI::App& app, Globals& globals) {
  app.set_version_flag("--version", std::string("crisp ") + cri::kVersion);
  app.require_subcommand(1);
  app.fallthrough();
  app.option_defaults()->always_capture_default(false);
  app.add_option("--address", globals.address,
                 absl::StrCat("Socket of crispd (default: ", kOperatorSocket,
                              " if it is there, else ", kKubeletSocket, ")"))
      ->envname("CRISP_ADDRESS")
      ->type_name("SOCKET");
}

int Fail(Context& context, const absl::Status& status) {
  if (!status.message().empty()) {
    context.err << "crisp: " << absl::StatusCodeToString(status.code()) << ": " << status.message()
                << "\n";
  }
  return context.exit_code != 0 ? context.exit_code : kCrispFailed;
}

}  // namespace

int RunCrisp(const std::vector<std::string>& arguments) {
  CLI::App app("crisp: looks after a node that runs crispd", "crisp");
  Globals globals;
  AddGlobals(app, globals);
  Commands commands(app);
  AddAll(commands);
  std::vector<std::string> words = commands.SplitProgram(arguments);
  std::reverse(words.begin(), words.end());  // as CLI11 takes them
  try {
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kCrispFailed;
  }
  CLI::App* parsed = commands.Parsed();
  const Run* run = commands.RunOf(parsed);
  if (run == nullptr) {
    std::cerr << parsed->help();
    return kCrispFailed;
  }
  Client client(ChooseEndpoint(globals.address));
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  Context context{
      .client = client,
      .in = std::cin,
      .out = std::cout,
      .err = std::cerr,
      .colours = Colours(WantsColours(terminal, getenv("NO_COLOR"), getenv("TERM"))),
      .terminal = terminal,
      .can_ask = isatty(STDIN_FILENO) != 0,
      .now = absl::Now(),
  };
  const absl::Status status = (*run)(context);
  std::cout.flush();
  return status.ok() ? context.exit_code : Fail(context, status);
}

}  // namespace crisp::cli
