// crisp completion SHELL: scripts made from the tree of commands. They know commands and flags by
// themselves, and ask crisp for the names of containers and images.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cli/commands/commands.h"

namespace crisp::cli {
namespace {

using Words = std::vector<std::string>;

// What a shell has to know of a command.
struct Node {
  std::string path;   // "images list"; empty for crisp itself
  Words below;        // its commands
  Words flags;        // with their dashes
  Words files;        // flags whose value is a file
  Words forms;        // flags whose value is a form of output
  Words values;       // other flags with a value
  std::string names;  // "containers", "images", "files" or empty: what its arguments name
  std::vector<const CLI::Option*> options;
  const CLI::App* app = nullptr;
};

std::string NamesOf(const CLI::Option& positional) {
  const std::string name = positional.get_name(true);
  if (absl::StartsWith(name, "CONTAINER") || absl::StartsWith(name, "TARGET") ||
      absl::StartsWith(name, "ID")) {
    return "containers";
  }
  if (absl::StartsWith(name, "IMAGE")) return "images";
  return absl::StartsWith(name, "FILE") ? "files" : "";
}

void Collect(const CLI::App& app, const std::string& path, std::vector<Node>& nodes) {
  Node node{.path = path, .app = &app};
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      if (node.names.empty()) node.names = NamesOf(*option);
      continue;
    }
    node.options.push_back(option);
    for (const std::string& name : option->get_snames()) node.flags.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) node.flags.push_back("--" + name);
    if (option->get_items_expected_max() == 0) continue;
    Words& kind = option->get_type_name() == "FILE"   ? node.files
                  : option->get_type_name() == "FORM" ? node.forms
                                                      : node.values;
    for (const std::string& name : option->get_snames()) kind.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) kind.push_back("--" + name);
  }
  const auto below =
      app.get_subcommands([](const CLI::App* each) { return !each->get_group().empty(); });
  for (const CLI::App* each : below) node.below.push_back(each->get_name());
  nodes.push_back(std::move(node));
  for (const CLI::App* each : below) {
    Collect(*each, absl::StrCat(path, path.empty() ? "" : " ", each->get_name()), nodes);
  }
}

std::string Patterns(const Node& node, const Words& flags) {
  return absl::StrJoin(flags, "|", [&](std::string* out, const std::string& flag) {
    absl::StrAppend(out, "'", node.path, " ", flag, "'");
  });
}

// The part that bash and zsh have in common. It expects the words before the one at the cursor in
// `before`, and that one in `cur`; it leaves its answer in `reply`, and "files" in `kind` where
// names of files are wanted.
std::string Body(const std::vector<Node>& nodes) {
  std::string text =
      "  local command='' word prev='' names=''\n  kind=words reply=''\n"
      "  for word in \"${before[@]}\"; do\n    prev=$word\n    case \"$command $word\" in\n";
  for (const Node& node : nodes) {
    if (node.path.empty()) continue;
    const size_t space = node.path.rfind(' ');
    const std::string parent = space == std::string::npos ? "" : node.path.substr(0, space);
    absl::StrAppend(&text, "      '", parent, " ", node.app->get_name(), "') command='", node.path,
                    "' ;;\n");
  }
  absl::StrAppend(&text, "    esac\n  done\n  case \"$command $prev\" in\n");
  for (const Node& node : nodes) {
    if (!node.files.empty())
      absl::StrAppend(&text, "    ", Patterns(node, node.files), ") kind=files; return ;;\n");
    if (!node.forms.empty()) {
      absl::StrAppend(&text, "    ", Patterns(node, node.forms),
                      ") reply='table wide json yaml template='; return ;;\n");
    }
    if (!node.values.empty())
      absl::StrAppend(&text, "    ", Patterns(node, node.values), ") return ;;\n");
  }
  absl::StrAppend(&text, "  esac\n  case \"$command\" in\n");
  for (const Node& node : nodes) {
    absl::StrAppend(&text, "    '", node.path, "') reply='", absl::StrJoin(node.below, " "),
                    "' names='", node.names, "'; [[ $cur != -* ]] || reply='",
                    absl::StrJoin(node.flags, " "), "' ;;\n");
  }
  absl::StrAppend(&text,
                  "  esac\n"
                  "  [[ $cur != -* ]] || return 0\n"
                  "  case $names in\n"
                  "    containers) reply+=\" $(crisp ps -a -o 'template={{.Name}}' 2>/dev/null | "
                  "tr '\\n' ' ')\" ;;\n"
                  "    images) reply+=\" $(crisp images -o 'template={{.Names}}' 2>/dev/null | tr "
                  "'\\n' ' ')\" ;;\n"
                  "    files) kind=files ;;\n"
                  "  esac\n");
  return text;
}

// Names have colons, which bash takes for ends of words.
std::string Bash(const std::vector<Node>& nodes) {
  return absl::StrCat(
      "# bash completion of crisp. To use it: source <(crisp completion bash)\n"
      "_crisp_words() {\n",
      Body(nodes),
      "}\n"
      "_crisp() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} kind reply before\n"
      "  before=(\"${COMP_WORDS[@]:1:COMP_CWORD-1}\")\n"
      "  if declare -F _get_comp_words_by_ref >/dev/null; then\n"
      "    local words cword\n"
      "    _get_comp_words_by_ref -n : cur words cword\n"
      "    before=(\"${words[@]:1:cword-1}\")\n"
      "  fi\n"
      "  _crisp_words\n"
      "  COMPREPLY=()\n"
      "  if [[ $kind == files ]]; then\n"
      "    compopt -o default 2>/dev/null\n"
      "    return 0\n"
      "  fi\n"
      "  mapfile -t COMPREPLY < <(compgen -W \"$reply\" -- \"$cur\")\n"
      "  [[ ${COMPREPLY[0]:-} != template= ]] || compopt -o nospace 2>/dev/null\n"
      "  if declare -F __ltrim_colon_completions >/dev/null; then __ltrim_colon_completions "
      "\"$cur\"; fi\n"
      "  return 0\n"
      "}\n"
      "complete -F _crisp crisp\n");
}

std::string Zsh(const std::vector<Node>& nodes) {
  return absl::StrCat(
      "#compdef crisp\n"
      "# zsh completion of crisp. To use it: crisp completion zsh >\"${fpath[1]}/_crisp\"\n"
      "_crisp_words() {\n",
      Body(nodes),
      "}\n"
      "_crisp() {\n"
      "  local cur=${words[CURRENT]} kind reply\n"
      "  local -a before\n"
      "  before=(\"${(@)words[2,CURRENT-1]}\")\n"
      "  _crisp_words\n"
      "  if [[ $kind == files ]]; then\n"
      "    _files\n"
      "    return\n"
      "  fi\n"
      "  compadd -- ${=reply}\n"
      "}\n"
      "if [[ $funcstack[1] == _crisp ]]; then _crisp \"$@\"; else compdef _crisp crisp; fi\n");
}

std::string FishQuote(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

std::string Fish(const std::vector<Node>& nodes) {
  std::string text =
      "# fish completion of crisp. To use it: crisp completion fish | source\ncomplete -c crisp "
      "-f\n";
  for (const Node& node : nodes) {
    const std::string here = node.path.empty()
                                 ? "__fish_use_subcommand"
                                 : absl::StrCat("__fish_seen_subcommand_from ",
                                                node.path.substr(node.path.rfind(' ') + 1));
    const auto add = [&](const std::string& rest) {
      absl::StrAppend(&text, "complete -c crisp -n ", FishQuote(here), rest, "\n");
    };
    for (const CLI::App* below : node.app->get_subcommands(
             [](const CLI::App* each) { return !each->get_group().empty(); })) {
      add(absl::StrCat(" -a ", below->get_name(), " -d ", FishQuote(below->get_description())));
    }
    for (const CLI::Option* option : node.options) {
      std::string flag;
      for (const std::string& name : option->get_snames()) absl::StrAppend(&flag, " -s ", name);
      for (const std::string& name : option->get_lnames()) absl::StrAppend(&flag, " -l ", name);
      if (option->get_type_name() == "FILE") flag += " -F";
      if (option->get_items_expected_max() > 0) flag += " -r";
      if (option->get_type_name() == "FORM") flag += " -a 'table wide json yaml'";
      add(absl::StrCat(flag, " -d ", FishQuote(option->get_description())));
    }
    if (node.names == "containers")
      add(" -a '(crisp ps -a -o \"template={{.Name}}\" 2>/dev/null)'");
    if (node.names == "images")
      add(" -a '(string split \" \" (crisp images -o \"template={{.Names}}\" 2>/dev/null))'");
    if (node.names == "files") add(" -F");
  }
  return text;
}

absl::Status Completion(const std::string& shell, const Commands& commands, Context& context) {
  std::vector<Node> nodes;
  Collect(commands.root(), "", nodes);
  context.out << (shell == "zsh" ? Zsh(nodes) : shell == "fish" ? Fish(nodes) : Bash(nodes));
  return absl::OkStatus();
}

}  // namespace

void AddCompletion(Commands& commands) {
  const auto shell = std::make_shared<std::string>();
  commands
      .Add({.name = "completion",
            .help = "Print the completion of a shell",
            .examples = {"source <(crisp completion bash)",
                         "crisp completion fish >~/.config/fish/completions/crisp.fish"},
            .description = "Commands, flags, and the names of containers and images."},
           [shell, &commands](Context& context) { return Completion(*shell, commands, context); })
      ->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
}

}  // namespace crisp::cli
