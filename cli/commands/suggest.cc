#include "cli/commands/suggest.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/names/nearest.h"

namespace crisp::cli {
namespace {

std::vector<std::string> NamesBelow(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* below : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!below->get_group().empty()) names.push_back(below->get_name());
  }
  return names;
}

// Of the command and those around it, whose flags it takes as well.
std::vector<std::string> FlagsOf(const CLI::App* app) {
  std::vector<std::string> flags;
  for (; app != nullptr; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
    }
  }
  return flags;
}

// The command as it is typed: "crisp images list".
std::string Typed(const CLI::App* app) {
  return app->get_parent() == nullptr
             ? app->get_name()
             : absl::StrCat(Typed(app->get_parent()), " ", app->get_name());
}

bool TakesPositionals(const CLI::App& app) {
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) return true;
  }
  return false;
}

}  // namespace

std::string UnknownWord(const Commands& commands, const std::vector<std::string>& arguments) {
  const CLI::App* app = &commands.root();
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (word == "--") break;
    if (absl::StartsWith(word, "--")) {
      const std::string name = word.substr(0, word.find('='));
      if (commands.FindFlag(app, name) == nullptr) {
        return absl::StrCat(Typed(app), " has no flag ", name, DidYouMean(name, FlagsOf(app)));
      }
    }
    if (word.size() > 1 && word[0] == '-') {
      if (commands.ValueFollows(app, word)) ++i;
      continue;
    }
    if (const CLI::App* below = commands.FindBelow(app, word)) {
      app = below;
    } else if (TakesPositionals(*app)) {
      break;  // and what follows may be a program's
    } else {
      return absl::StrCat(
          app->get_parent() == nullptr ? "there is no command " : Typed(app) + " takes no ", word,
          DidYouMean(word, NamesBelow(*app)));
    }
  }
  return "";
}

}  // namespace crisp::cli
