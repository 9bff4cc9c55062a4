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
#include "cli/commands/suggest.h"
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

Surroundings RealSurroundings() {
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  return {
      .in = std::cin,
      .out = std::cout,
      .err = std::cerr,
      .out_is_terminal = terminal,
      .in_is_terminal = isatty(STDIN_FILENO) != 0,
      .colours = WantsColours(terminal, getenv("NO_COLOR"), getenv("TERM")),
      .now = absl::Now(),
      .connect =
          [](const std::string& address) {
            return std::make_unique<Client>(ChooseEndpoint(address));
          },
  };
}

int RunCrisp(const std::vector<std::string>& arguments, const Surroundings& surroundings) {
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
    // Help and version are errors of CLI11 as well.
    if (error.get_exit_code() == 0) return app.exit(error, surroundings.out, surroundings.err);
    const std::string unknown = UnknownWord(commands, arguments);
    const CLI::App* near = commands.Parsed();
    surroundings.err << "crisp: " << (unknown.empty() ? error.what() : unknown) << "\nSee `crisp "
                     << (near == nullptr ? "" : near->get_name() + " ") << "--help`.\n";
    return kCrispFailed;
  }
  CLI::App* parsed = commands.Parsed();
  const Run* run = parsed == nullptr ? nullptr : commands.RunOf(parsed);
  if (run == nullptr) {
    surroundings.err << (parsed == nullptr ? &app : parsed)->help();
    return kCrispFailed;
  }
  const std::unique_ptr<Client> client = surroundings.connect(globals.address);
  Context context{.client = *client,
                  .in = surroundings.in,
                  .out = surroundings.out,
                  .err = surroundings.err,
                  .colours = Colours(surroundings.colours),
                  .terminal = surroundings.out_is_terminal,
                  .can_ask = surroundings.in_is_terminal,
                  .now = surroundings.now};
  const absl::Status status = (*run)(context);
  context.out.flush();
  return status.ok() ? context.exit_code : Fail(context, status);
}

}  // namespace crisp::cli
