#include "cli/commands/command.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace crisp::cli {
namespace {

std::string Footer(const CommandText& text) {
  std::string footer = text.description;
  if (!footer.empty() && !text.examples.empty()) footer += "\n\n";
  if (!text.examples.empty()) {
    absl::StrAppend(&footer, text.examples.size() == 1 ? "Example:" : "Examples:");
    for (const std::string& example : text.examples) absl::StrAppend(&footer, "\n  ", example);
  }
  return footer;
}

bool TakesValue(const CLI::Option* option) {
  return option != nullptr && option->get_items_expected_max() > 0;
}

}  // namespace

CLI::App* Commands::Add(CommandText text, Run run, CLI::App* parent) {
  CLI::App* added = (parent == nullptr ? &root_ : parent)->add_subcommand(text.name, text.help);
  added->footer(Footer(text));
  entries_.emplace(added, Entry{std::move(text), std::move(run)});
  return added;
}

const CommandText* Commands::TextOf(const CLI::App* app) const {
  const auto found = entries_.find(app);
  return found == entries_.end() ? nullptr : &found->second.text;
}

CLI::App* Commands::Parsed() const {
  CLI::App* innermost = nullptr;
  const CLI::App* app = &root_;
  for (std::vector<CLI::App*> below; !(below = app->get_subcommands()).empty();) {
    app = innermost = below.back();
  }
  return innermost;
}

const Run* Commands::RunOf(const CLI::App* app) const {
  const auto found = entries_.find(app);
  return found == entries_.end() || !found->second.run ? nullptr : &found->second.run;
}

const CLI::App* Commands::FindBelow(const CLI::App* app, const std::string& name) {
  for (const CLI::App* below :
       app->get_subcommands([&](const CLI::App* each) { return each->check_name(name); })) {
    return below;
  }
  return nullptr;
}

const CLI::Option* Commands::FindFlag(const CLI::App* app, const std::string& name) {
  for (; app != nullptr; app = app->get_parent()) {
    if (const CLI::Option* option = app->get_option_no_throw(name)) return option;
  }
  return nullptr;
}

bool Commands::ValueFollows(const CLI::App* app, const std::string& word) {
  if (absl::StartsWith(word, "--")) {
    return word.find('=') == std::string::npos && TakesValue(FindFlag(app, word));
  }
  for (size_t i = 1; i < word.size(); ++i) {  // -it, -ePATH
    if (TakesValue(FindFlag(app, absl::StrCat("-", word.substr(i, 1))))) {
      return i + 1 == word.size();
    }
  }
  return false;
}

std::vector<std::string> Commands::SplitProgram(std::vector<std::string> arguments) const {
  const CLI::App* app = &root_;
  int positionals = 0;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (word == "--") return arguments;
    if (word.size() > 1 && word[0] == '-') {
      if (ValueFollows(app, word)) ++i;
      continue;
    }
    if (const CLI::App* below = positionals == 0 ? FindBelow(app, word) : nullptr) {
      app = below;
      continue;
    }
    const CommandText* text = TextOf(app);
    if (text == nullptr || text->own_positionals < 0) return arguments;
    if (++positionals < text->own_positionals) continue;
    arguments.insert(arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1, "--");
    return arguments;
  }
  return arguments;
}

}  // namespace crisp::cli
