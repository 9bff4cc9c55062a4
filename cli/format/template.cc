#include "cli/format/template.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/status.h"

namespace crisp::cli {
namespace {

constexpr absl::string_view kBegin = "{{", kEnd = "}}";

std::string Unescape(absl::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      plain += text[i];
      continue;
    }
    const char next = text[++i];
    switch (next) {
      case 't':
        plain += '\t';
        break;
      case 'n':
        plain += '\n';
        break;
      case '\\':
        plain += '\\';
        break;
      default:
        plain += {'\\', next};
    }
  }
  return plain;
}

}  // namespace

absl::StatusOr<Template::Part> Template::ParsePlaceholder(absl::string_view inside,
                                                          const std::vector<Head>& heads) {
  absl::string_view name = absl::StripAsciiWhitespace(inside);
  const bool json = absl::ConsumePrefix(&name, "json ");
  name = absl::StripAsciiWhitespace(name);
  if (json && name == ".") return Part{.kind = Part::kRowJson};
  if (!absl::ConsumePrefix(&name, ".") || name.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("template: {{", inside, "}} is no {{.Name}}, {{json .Name}} or {{json .}}"));
  }
  for (size_t i = 0; i < heads.size(); ++i) {
    if (!absl::EqualsIgnoreCase(heads[i].name, name)) continue;
    return Part{.kind = json ? Part::kCellJson : Part::kCell, .column = i};
  }
  return absl::InvalidArgumentError(
      absl::StrCat("template: there is no .", name, " here; there are ",
                   absl::StrJoin(heads, " ", [](std::string* out, const Head& head) {
                     absl::StrAppend(out, ".", head.name);
                   })));
}

absl::StatusOr<Template> Template::Parse(absl::string_view text, const std::vector<Head>& heads) {
  Template parsed;
  while (!text.empty()) {
    const size_t begin = text.find(kBegin);
    if (begin != 0) parsed.parts_.push_back({.text = Unescape(text.substr(0, begin))});
    if (begin == absl::string_view::npos) break;
    text.remove_prefix(begin + kBegin.size());
    const size_t end = text.find(kEnd);
    if (end == absl::string_view::npos) {
      return absl::InvalidArgumentError("template: a {{ has no }}");
    }
    CRISP_ASSIGN_OR_RETURN(Part part, ParsePlaceholder(text.substr(0, end), heads));
    parsed.parts_.push_back(std::move(part));
    text.remove_prefix(end + kEnd.size());
  }
  return parsed;
}

std::string Template::Render(const Table& table, const std::vector<Cell>& row) const {
  std::string text;
  for (const Part& part : parts_) {
    switch (part.kind) {
      case Part::kText:
        text += part.text;
        break;
      case Part::kCell:
        text += row[part.column].whole();
        break;
      case Part::kCellJson:
        text += DumpJson(row[part.column].value);
        break;
      case Part::kRowJson:
        text += DumpJson(RowJson(table, row));
        break;
    }
  }
  return text;
}

}  // namespace crisp::cli
