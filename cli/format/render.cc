#include "cli/format/render.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "cli/format/template.h"
#include "cli/format/yaml.h"

namespace crisp::cli {
namespace {

constexpr char kGap[] = "  ";
constexpr char kTemplate[] = "template=";

// "CREATED BY" for "CreatedBy".
std::string Title(const std::string& name) {
  std::string title;
  for (const char c : name) {
    if (absl::ascii_isupper(static_cast<unsigned char>(c)) && !title.empty()) title += ' ';
    title += absl::ascii_toupper(static_cast<unsigned char>(c));
  }
  return title;
}

// Characters, not bytes, of UTF-8.
size_t Width(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

// A container may bring any bytes in a name or a command. None reaches a terminal as a control.
std::string Printable(std::string text) {
  for (char& c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = ' ';
  }
  return text;
}

std::string Pad(
    const std::string& plain, const std::string& shown, size_t width, Align align, bool last) {
  const std::string space(width - std::min(width, Width(plain)), ' ');
  if (align == Align::kRight) return space + shown;
  return last ? shown : shown + space;
}

// The plain table: of some columns, each as wide as its widest cell.
std::string Text(const Table& table, const TableOptions& options) {
  std::vector<size_t> columns;
  for (size_t i = 0; i < table.heads.size(); ++i) {
    const Shown shown = table.heads[i].shown;
    if (shown == Shown::kAlways || (shown == Shown::kWide && options.output == "wide")) {
      columns.push_back(i);
    }
  }
  const auto text_of = [&](const Cell& cell) {
    return Printable(options.no_trunc ? cell.whole() : cell.text);
  };
  std::vector<size_t> widths;
  for (const size_t i : columns) {
    size_t width = Width(Title(table.heads[i].name));
    for (const auto& row : table.rows) width = std::max(width, Width(text_of(row[i])));
    widths.push_back(width);
  }
  std::string text;
  const auto add_line = [&](const auto& plain_of, const auto& shown_of) {
    for (size_t at = 0; at < columns.size(); ++at) {
      const size_t i = columns[at];
      absl::StrAppend(&text, at == 0 ? "" : kGap,
                      Pad(plain_of(i), shown_of(i), widths[at], table.heads[i].align,
                          at + 1 == columns.size()));
    }
    text += '\n';
  };
  const auto title_of = [&](size_t i) { return Title(table.heads[i].name); };
  add_line(title_of, title_of);
  for (const auto& row : table.rows) {
    add_line([&](size_t i) { return text_of(row[i]); },
             [&](size_t i) { return options.colours(row[i].tint, text_of(row[i])); });
  }
  return text;
}

std::string Quiet(const Table& table, const TableOptions& options) {
  std::string text;
  for (const auto& row : table.rows) {
    absl::StrAppend(&text, Printable(options.no_trunc ? row[0].whole() : row[0].text), "\n");
  }
  return text;
}

Json ToJson(const Table& table) {
  Json rows = Json::array();
  for (const auto& row : table.rows) rows.push_back(RowJson(table, row));
  return rows;
}

}  // namespace

absl::StatusOr<std::string> Render(const Table& table, const TableOptions& options) {
  absl::string_view output = options.output;
  if (absl::ConsumePrefix(&output, kTemplate)) {
    CRISP_ASSIGN_OR_RETURN(const Template parsed, Template::Parse(output, table.heads));
    std::string text;
    for (const auto& row : table.rows) absl::StrAppend(&text, parsed.Render(table, row), "\n");
    return text;
  }
  if (output != "table" && output != "wide" && output != "json" && output != "yaml") {
    return absl::InvalidArgumentError(absl::StrCat(
        "-o ", options.output, ": the forms are table, wide, json, yaml and template=TEXT"));
  }
  if (options.quiet) return Quiet(table, options);
  if (output == "json") return DumpJson(ToJson(table), 2) + "\n";
  if (output == "yaml") return DumpYaml(ToJson(table));
  return Text(table, options);
}

}  // namespace crisp::cli
