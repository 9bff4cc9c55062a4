#include "cri/config/config_docs.h"

#include <functional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "cri/config/config.h"
#include "cri/config/config_schema.h"

namespace crisp::cri {
namespace {

constexpr size_t kWidth = 100;
constexpr absl::string_view kBegin = ".\\\" The table of the keys begins here; it is generated.\n";
constexpr absl::string_view kEnd = ".\\\" The table of the keys ends here.\n";

// A key, or the head of a section, whose `type` is empty.
struct Line {
  std::string section, name, type, fallback, values, text;

  bool is_section() const { return type.empty(); }
  std::string Full() const { return section.empty() ? name : absl::StrCat(section, ".", name); }
};

const char* TypeOf(const std::string&) { return "string"; }
const char* TypeOf(bool) { return "boolean"; }
const char* TypeOf(int64_t) { return "integer"; }
const char* TypeOf(absl::Duration) { return "duration"; }
const char* TypeOf(const std::vector<std::string>&) { return "list"; }
const char* TypeOf(const std::vector<HandlerConfig>&) { return "list"; }

// The values that the rule allows, in words; empty for every value of the type.
std::string Allowed(const Rule& rule) {
  const std::string unit = *rule.unit == '\0' ? "" : absl::StrCat(" (", rule.unit, ")");
  switch (rule.kind) {
    case Rule::Kind::kAny:
      return "";
    case Rule::Kind::kBetween:
      if (rule.most == kNoMost) return absl::StrCat("at least ", rule.least, unit);
      return absl::StrCat(rule.least, " to ", rule.most, unit);
    case Rule::Kind::kZeroOrBetween:
      return absl::StrCat("0, or ", rule.least, " to ", rule.most, unit);
    case Rule::Kind::kAtLeast:
      return absl::StrCat("at least ", absl::FormatDuration(absl::Seconds(rule.least)));
    case Rule::Kind::kPositive:
      return "longer than 0";
    case Rule::Kind::kOneOf:
      return absl::StrReplaceAll(absl::StrCat("`", Choices(rule), "`"),
                                 {{", ", "`, `"}, {" or ", "` or `"}});
    case Rule::Kind::kPath:
      return "absolute path";
    case Rule::Kind::kPathOrNone:
      return "absolute path, or empty";
    case Rule::Kind::kAddress:
      return "HOST:PORT, or empty";
    case Rule::Kind::kInWords:
      return rule.words;
  }
  return "";
}

class Collector {
 public:
  template <typename T>
  void Key(const char* name, const T& value, const Rule& rule, const char* text) {
    std::string values = Allowed(rule);
    if (std::is_same_v<T, std::vector<std::string>> && values == "absolute path")
      values = "absolute paths";
    lines_.push_back({section_, name, TypeOf(value), "", std::move(values), text});
  }
  void Section(const char* name, const std::function<void(Collector&)>& visit, const char* text) {
    lines_.push_back({"", name, "", "", "", text});
    section_ = name;
    visit(*this);
    section_.clear();
  }
  // With the defaults, as `crispd config dump` prints them: it has one line for each of ours.
  std::vector<Line> Finish(const Config& config) && {
    const std::vector<std::string> dumped =
        absl::StrSplit(DumpConfig(config), '\n', absl::SkipEmpty());
    for (size_t i = 0; i < lines_.size() && i < dumped.size(); ++i) {
      const std::pair<std::string, std::string> parts =
          absl::StrSplit(dumped[i], absl::MaxSplits(':', 1));
      lines_[i].fallback = std::string(absl::StripAsciiWhitespace(parts.second));
    }
    return std::move(lines_);
  }

 private:
  std::vector<Line> lines_;
  std::string section_;
};

std::vector<Line> Lines() {
  const Config config;
  Collector collector;
  VisitConfig(collector, config);
  return std::move(collector).Finish(config);
}

// Appends `text` in lines that begin with `lead`.
void AppendWrapped(std::string& out, absl::string_view lead, absl::string_view text) {
  std::string line;
  for (absl::string_view word : absl::StrSplit(text, ' ')) {
    if (!line.empty() && lead.size() + line.size() + 1 + word.size() > kWidth) {
      absl::StrAppend(&out, lead, line, "\n");
      line.clear();
    }
    absl::StrAppend(&line, line.empty() ? "" : " ", word);
  }
  absl::StrAppend(&out, lead, line, "\n");
}

// The comment of a key: its meaning, then its values.
std::string TextAndValues(const Line& line) {
  if (line.values.empty()) return line.text;
  return absl::StrCat(line.text, " Values: ", line.values, ".");
}

constexpr absl::string_view kYamlHead =
    "crispd's configuration. Every key is here with its default; take the \"#\" before a key away "
    "to change "
    "it. Files in config.d/ beside this one are read after it, in the order of their names, and "
    "override "
    "single keys. Unknown keys are errors. `crispd config dump` prints what is in effect; a change "
    "takes "
    "effect with `systemctl restart crispd`, which ends no pod; `log_level` also with a reload.";

constexpr absl::string_view kMarkdownHead = R"(# Configuration

<!-- Generated from the table of keys, config_schema.h. Change that, then run hack/docs.sh. -->

`crispd` reads `/etc/crisp/config.yaml` (or the file of `--config`), and after it the files
`config.d/*.yaml` beside it in the order of their names. A later file overrides single keys; a list is
replaced as a whole. Flags (`crispd --help`) override the files. Every key has a default, so every file
may be absent. The file that the package installs shows every key at its default behind a `#`.

An unknown key, a value of a wrong type and a value that cannot work are errors: crispd does not start
and names the file, the line and the key. `crispd config dump` says the same without starting, or prints
the configuration that is in effect. A change takes effect with `systemctl restart crispd`, which ends
no pod.

A duration is a number with a unit, such as `30s`, `1h30m` or `1.5s`. A list is of strings.
)";

constexpr absl::string_view kTableHead =
    "\n| Key | Type | Default | Values | Meaning |\n|---|---|---|---|---|\n";

}  // namespace

std::string ConfigYaml() {
  std::string out;
  AppendWrapped(out, "# ", kYamlHead);
  absl::StrAppend(&out, "\n");
  for (const Line& line : Lines()) {
    if (line.is_section()) {
      absl::StrAppend(&out, "\n");
      AppendWrapped(out, "# ", line.text);
      absl::StrAppend(&out, line.name, ":\n");
      continue;
    }
    const std::string indent = line.section.empty() ? "" : "  ";
    AppendWrapped(out, absl::StrCat(indent, "# "), TextAndValues(line));
    absl::StrAppend(&out, indent, "#", line.name, ": ", line.fallback, "\n");
  }
  return out;
}

std::string ConfigMarkdown() {
  std::string out = absl::StrCat(kMarkdownHead, "\n## Top level\n", kTableHead);
  for (const Line& line : Lines()) {
    if (line.is_section()) {
      absl::StrAppend(&out, "\n## ", line.name, "\n\n", line.text, "\n", kTableHead);
      continue;
    }
    absl::StrAppend(&out, "| `", line.Full(), "` | ", line.type, " | `", line.fallback, "` | ",
                    line.values, " | ", line.text, " |\n");
  }
  return out;
}

std::string ConfigManual() {
  // A text line must not begin with what mdoc takes for a macro; `literals` become bold.
  const auto text = [](absl::string_view words) {
    std::string escaped = absl::StrReplaceAll(words, {{"\\", "\\e"}, {" .", " \\&."}});
    std::string out;
    bool bold = false;
    for (const char c : escaped) {
      if (c == '`') {
        absl::StrAppend(&out, bold ? "\\fR" : "\\fB");
        bold = !bold;
      } else {
        out.push_back(c);
      }
    }
    return out;
  };
  std::string out = ".Bl -tag -width Ds\n";
  for (const Line& line : Lines()) {
    if (line.is_section()) continue;
    absl::StrAppend(&out, ".It Cm ", line.Full(), "\n");
    AppendWrapped(out, "", text(TextAndValues(line)));
    AppendWrapped(out, "", text(absl::StrCat("Default: ", line.fallback)));
  }
  absl::StrAppend(&out, ".El\n");
  return out;
}

absl::StatusOr<std::string> WithConfigManual(absl::string_view page) {
  const size_t begin = page.find(kBegin), end = page.find(kEnd);
  if (begin == absl::string_view::npos || end == absl::string_view::npos || end < begin) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the manual page lacks the two lines \"", absl::StripAsciiWhitespace(kBegin), "\" and \"",
        absl::StripAsciiWhitespace(kEnd), "\" that say where the keys stand"));
  }
  return absl::StrCat(page.substr(0, begin + kBegin.size()), ConfigManual(), page.substr(end));
}

}  // namespace crisp::cri
