#ifndef CRISP_CLI_FORMAT_TEMPLATE_H_
#define CRISP_CLI_FORMAT_TEMPLATE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/format/table.h"

namespace crisp::cli {

// The text of -o template=…: each row of a listing is printed as this text, with
//
//   {{.Name}}         the column's text, not shortened; capitals do not matter
//   {{json .Name}}    the column's value as JSON
//   {{json .}}        the whole row as JSON
//   \t \n \\          a tabulator, a new line, a backslash
//
// It is a subset of docker's --format. There are no conditions and no functions.
class Template {
 public:
  // InvalidArgument for a "{{" without its end, for what is no placeholder, and for a column that
  // the listing does not have: the message lists those that it has.
  static absl::StatusOr<Template> Parse(absl::string_view text, const std::vector<Head>& heads);
  std::string Render(const Table& table, const std::vector<Cell>& row) const;

 private:
  struct Part {
    std::string text;  // as it is, if `kind` is kText
    enum { kText, kCell, kCellJson, kRowJson } kind = kText;
    size_t column = 0;
  };

  static absl::StatusOr<Part> ParsePlaceholder(absl::string_view inside,
                                               const std::vector<Head>& heads);

  std::vector<Part> parts_;
};

}  // namespace crisp::cli

#endif  // CRISP_CLI_FORMAT_TEMPLATE_H_
