#ifndef CRISP_CLI_FORMAT_TABLE_H_
#define CRISP_CLI_FORMAT_TABLE_H_

#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "cli/format/colours.h"

namespace crisp::cli {

// One place of a table. Every form of output is made from it.
struct Cell {
  Json value;             // of json and yaml
  std::string text;       // of the table
  std::string full = "";  // of templates, and of the table with --no-trunc; empty: as `text`
  Tint tint = Tint::kNone;

  const std::string& whole() const { return full.empty() ? text : full; }
};

// A string that is the same everywhere.
inline Cell TextCell(const std::string& text, Tint tint = Tint::kNone) {
  return {.value = text, .text = text, .tint = tint};
}

enum class Shown {
  kAlways,
  kWide,   // not in the plain table
  kNamed,  // only in json, yaml and templates
};
enum class Align { kLeft, kRight };

// A column's name is of the form "CreatedBy". It stands as CREATED BY above the table, is
// `createdBy` in json and yaml, and {{.CreatedBy}} in a template.
struct Head {
  std::string name;
  Shown shown = Shown::kAlways;
  Align align = Align::kLeft;
};

template <typename Row>
struct Column {
  std::string name;
  std::function<Cell(const Row&)> cell;
  Shown shown = Shown::kAlways;
  Align align = Align::kLeft;
};

// What a listing has found. The first column is what -q prints.
struct Table {
  std::vector<Head> heads;
  std::vector<std::vector<Cell>> rows;  // each has a cell for each head
};

template <typename Row>
Table MakeTable(const std::vector<Column<Row>>& columns, const std::vector<Row>& rows) {
  Table table;
  for (const Column<Row>& column : columns) {
    table.heads.push_back({column.name, column.shown, column.align});
  }
  for (const Row& row : rows) {
    std::vector<Cell>& cells = table.rows.emplace_back();
    for (const Column<Row>& column : columns) cells.push_back(column.cell(row));
  }
  return table;
}

// "createdBy" for "CreatedBy".
std::string JsonKey(const std::string& name);
// A row as an object.
Json RowJson(const Table& table, const std::vector<Cell>& row);

}  // namespace crisp::cli

#endif  // CRISP_CLI_FORMAT_TABLE_H_
