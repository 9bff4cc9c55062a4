#ifndef CRISP_CLI_FORMAT_RENDER_H_
#define CRISP_CLI_FORMAT_RENDER_H_

#include <string>

#include "absl/status/statusor.h"
#include "cli/format/colours.h"
#include "cli/format/table.h"

namespace crisp::cli {

struct TableOptions {
  std::string output = "table";  // table, wide, json, yaml or template=TEXT
  bool quiet = false;            // only the first column, one a line
  bool no_trunc = false;
  Colours colours = {};
};

// InvalidArgument for an unknown form of output, and for a template (template.h) that is wrong.
absl::StatusOr<std::string> Render(const Table& table, const TableOptions& options);

}  // namespace crisp::cli

#endif  // CRISP_CLI_FORMAT_RENDER_H_
