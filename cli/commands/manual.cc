// crisp manual DIRECTORY: what the package's build runs. It is not among the commands that are
// listed.
#include "cli/commands/manual.h"

#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/status.h"
#include "cli/commands/commands.h"

namespace crisp::cli {
namespace {

constexpr char kSection[] = ".Sh ";

// Text that roff takes as it is: no macro at the beginning of a line, no escape, no quote that ends
// an argument.
std::string Plain(const std::string& text) {
  std::string plain = absl::StrReplaceAll(text, {{"\\", "\\e"}, {"-", "\\-"}, {"\n", " "}});
  if (!plain.empty() && (plain[0] == '.' || plain[0] == '\'')) plain.insert(0, "\\&");
  return plain;
}

// A sentence on each line, as mdoc wants it.
std::string Sentences(const std::string& text) {
  return absl::StrJoin(
      absl::StrSplit(text, ". "), ".\n",
      [](std::string* out, absl::string_view s) { absl::StrAppend(out, Plain(std::string(s))); });
}

std::vector<const CLI::App*> Below(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* each) { return !each->get_group().empty(); });
}

std::string Head(const std::string& name, const std::string& help) {
  return absl::StrCat(".\\\" Made by `crisp manual`.\n.Dd January 1, 2026\n.Dt ",
                      absl::AsciiStrToUpper(name), " 1\n.Os\n", kSection, "NAME\n.Nm ", name,
                      "\n.Nd ", Plain(help), "\n");
}

std::string FlagNames(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("\\-" + Plain(name));
  for (const std::string& name : option.get_lnames()) names.push_back("\\-\\-" + Plain(name));
  std::string text = absl::StrJoin(names, ", ");
  if (option.get_items_expected_max() > 0) absl::StrAppend(&text, " Ar ", option.get_type_name());
  return text;
}

std::string Flags(const CLI::App& app) {
  std::string text;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_description().empty()) continue;
    if (option->get_positional())
      absl::StrAppend(&text, ".It Ar ", option->get_name(true), "\n");
    else
      absl::StrAppend(&text, ".It Li ", FlagNames(*option), "\n");
    absl::StrAppend(&text, Sentences(option->get_description()), "\n");
  }
  return text.empty() ? "" : absl::StrCat(".Bl -tag -width Ds\n", text, ".El\n");
}

std::string Synopsis(const CLI::App& app, const std::string& typed) {
  std::string text = absl::StrCat(kSection, "SYNOPSIS\n.Nm crisp\n");
  if (!typed.empty()) absl::StrAppend(&text, ".Cm ", typed, "\n");
  absl::StrAppend(&text, ".Op Ar flags\n");
  if (!Below(app).empty())
    absl::StrAppend(&text, typed.empty() ? ".Ar command\n.Op Ar arguments\n" : ".Op Ar command\n");
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional()) continue;
    const bool several = option->get_items_expected_max() > 1;
    absl::StrAppend(&text, option->get_required() ? ".Ar " : ".Op Ar ", option->get_name(true),
                    several ? " ..." : "", "\n");
  }
  return text;
}

std::string CommandList(const CLI::App& app, const std::string& prefix) {
  if (Below(app).empty()) return "";
  std::string text = absl::StrCat(kSection, "COMMANDS\n.Bl -tag -width Ds\n");
  for (const CLI::App* below : Below(app)) {
    absl::StrAppend(&text, ".It Xr ", prefix, "-", below->get_name(), " 1\n",
                    Plain(below->get_description()), ".\n");
  }
  return text + ".El\n";
}

std::string Examples(const CommandText* text) {
  if (text == nullptr || text->examples.empty()) return "";
  return absl::StrCat(kSection, "EXAMPLES\n.Bd -literal\n",
                      absl::StrJoin(text->examples, "\n",
                                    [](std::string* out, const std::string& example) {
                                      absl::StrAppend(out, Plain(example));
                                    }),
                      "\n.Ed\n");
}

constexpr char kOverview[] = R"(.Nm
is a client of
.Xr crispd 8 .
It shows and handles the pods, containers and images of a node.
.Pp
A container of
.Ql crisp run
goes by its name.
One of the kubelet is
.Ar namespace/pod/container .
Ids, prefixes of an id that no other has, and
.Ar crisp://ID
are taken everywhere.
)";
constexpr char kFurther[] = R"(.Sh OUTPUT
Listings take
.Fl o
.Ar FORM .
.Bl -tag -width Ds
.It Cm table , wide
is for people; the latter has more columns.
.It Cm json , yaml
has every column, with sizes in bytes and times in full.
.It Cm template= Ns Ar TEXT
prints the text for each row, with
.Ql {{.Column}}
for the column's text and
.Ql {{json .Column}}
or
.Ql {{json .}}
for JSON.
.Ql \et
is a tabulator,
.Ql \en
a new line.
An unknown column is an error that names those that there are.
.El
.Sh ENVIRONMENT
.Bl -tag -width Ds
.It Ev CRISP_ADDRESS
the socket, where
.Fl \-address
does not name it.
.It Ev NO_COLOR
forbids colours, which only a terminal gets anyway.
.El
.Sh EXIT STATUS
.Bl -tag -width Ds
.It 0
It was done.
.It 1
.Ql crisp doctor
found what would keep pods from running.
.It 125
The command line was wrong, the daemon refused, or it is away.
.It 126 , 127
The program of
.Ql crisp run
or
.Ql crisp exec
could not be started, or was not found.
.It 128+n
Signal n has ended it.
Other statuses are the program's own.
.El
)";

void AddPages(const CLI::App& app,
              const std::string& name,
              const std::string& typed,
              const Commands& commands,
              std::map<std::string, std::string>& pages) {
  const CommandText* text = commands.TextOf(&app);
  const bool root = app.get_parent() == nullptr;
  std::string page =
      Head(name, root ? "look after a node that runs crispd" : app.get_description());
  absl::StrAppend(&page, Synopsis(app, typed), kSection, "DESCRIPTION\n");
  if (root)
    page += kOverview;
  else
    absl::StrAppend(&page,
                    text == nullptr || text->description.empty()
                        ? Plain(app.get_description()) + "."
                        : Sentences(text->description),
                    "\n");
  page += Flags(app);
  page += CommandList(app, name);
  if (root) page += kFurther;
  page += Examples(text);
  absl::StrAppend(&page, kSection, "SEE ALSO\n",
                  root ? ".Xr crispd 8 ,\n.Xr crictl 1\n" : ".Xr crisp 1\n");
  pages[name + ".1"] = std::move(page);
  for (const CLI::App* below : Below(app)) {
    AddPages(*below, absl::StrCat(name, "-", below->get_name()),
             absl::StrCat(typed, typed.empty() ? "" : " ", below->get_name()), commands, pages);
  }
}

}  // namespace

std::map<std::string, std::string> ManualPages(const Commands& commands) {
  std::map<std::string, std::string> pages;
  AddPages(commands.root(), "crisp", "", commands, pages);
  return pages;
}

void AddManual(Commands& commands) {
  const auto directory = std::make_shared<std::string>();
  CLI::App* manual =
      commands.Add({.name = "manual",
                    .help = "Write the pages of the manual",
                    .examples = {"crisp manual /tmp/man"}},
                   [directory, &commands](Context&) -> absl::Status {
                     CRISP_RETURN_IF_ERROR(MakeDirs(*directory));
                     for (const auto& [name, page] : ManualPages(commands)) {
                       CRISP_RETURN_IF_ERROR(AtomicWriteFile(absl::StrCat(*directory, "/", name),
                                                             page, 0644, Durability::kNone));
                     }
                     return absl::OkStatus();
                   });
  manual->group("");  // hidden
  manual->add_option("DIRECTORY", *directory, "Where")->required();
}

}  // namespace crisp::cli
