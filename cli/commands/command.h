#ifndef CRISP_CLI_COMMANDS_COMMAND_H_
#define CRISP_CLI_COMMANDS_COMMAND_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <iosfwd>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cli/client/client.h"
#include "cli/format/colours.h"

namespace crisp::cli {

// Exit statuses, as docker and podman have them.
inline constexpr int kCrispFailed =
    125;  // the command line was wrong, the daemon refused or is away
inline constexpr int kCannotInvoke = 126;
inline constexpr int kNotFound = 127;
inline constexpr int kBySignal = 128;  // plus the signal's number

// What a command runs with. It writes to `out` what was asked for, and to `err` what is about it.
struct Context {
  Client& client;
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  Colours colours;        // of `out`
  bool terminal = false;  // True if `out` is a terminal.
  bool can_ask = false;   // True if `in` is a terminal.
  absl::Time now = absl::InfinitePast();
  // What crisp exits with. If it is 0 and the command fails, crisp exits with kCrispFailed.
  int exit_code = 0;
};

// A failure is printed as "crisp: MESSAGE"; an empty message prints nothing.
using Run = std::function<absl::Status(Context&)>;

// What a command's help, its page of the manual and the completion are made from.
struct CommandText {
  std::string name;
  std::string help;                   // one line without a full stop
  std::vector<std::string> examples;  // whole command lines: "crisp ps -a"
  std::string description = "";       // whole sentences, for the page of the manual and --help
  // Not negative: what follows that many positional arguments belongs to the container's program,
  // also what looks like a flag. `crisp run [FLAGS] IMAGE [COMMAND [ARG...]]` has 1.
  int own_positionals = -1;
};

// The tree of commands. A command adds itself with Add(), then its flags to what Add() returns.
// Flags that the command keeps must live as long as `run`: share them with it.
class Commands {
 public:
  explicit Commands(CLI::App& root) : root_(root) {}

  // A command of `parent`, or of crisp itself. `run` may be null for one that has only commands
  // below it.
  CLI::App* Add(CommandText text, Run run, CLI::App* parent = nullptr);

  CLI::App& root() const { return root_; }
  const CommandText* TextOf(const CLI::App* app) const;
  // The innermost command that was parsed, and null if none was.
  CLI::App* Parsed() const;
  // Null if the command has none.
  const Run* RunOf(const CLI::App* app) const;
  // For those who read a command line without parsing it. Each looks at `app`, the innermost
  // command so far; the flags of those around it count as well.
  static const CLI::App* FindBelow(const CLI::App* app, const std::string& name);
  static const CLI::Option* FindFlag(const CLI::App* app, const std::string& name);
  // True if `word`, which begins with a dash, has its value in the next word.
  static bool ValueFollows(const CLI::App* app, const std::string& word);
  // The command line with "--" where the container's program begins (own_positionals).
  std::vector<std::string> SplitProgram(std::vector<std::string> arguments) const;

 private:
  struct Entry {
    CommandText text;
    Run run;
  };

  CLI::App& root_;
  std::map<const CLI::App*, Entry> entries_;
};

}  // namespace crisp::cli

#endif  // CRISP_CLI_COMMANDS_COMMAND_H_
