#include "cli/format/table.h"

#include "absl/strings/ascii.h"

namespace crisp::cli {

std::string JsonKey(const std::string& name) {
  std::string key = name;
  if (!key.empty()) key[0] = absl::ascii_tolower(static_cast<unsigned char>(key[0]));
  return key;
}

Json RowJson(const Table& table, const std::vector<Cell>& row) {
  Json object = Json::object();
  for (size_t i = 0; i < row.size(); ++i) object[JsonKey(table.heads[i].name)] = row[i].value;
  return object;
}

}  // namespace crisp::cli
