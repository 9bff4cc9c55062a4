#include "base/json.h"
#include "base/status.h"
#include "cli/commands/commands.h"

namespace crisp::cli {

void AddInfo(Commands& commands) {
  commands.Add({.name = "info",
                .help = "Show the daemon's version, paths and counts",
                .examples = {"crisp info"}},
               [](Context& context) -> absl::Status {
                 CRISP_ASSIGN_OR_RETURN(const Json info, context.client.Info());
                 context.out << DumpJson(info, 2) << "\n";
                 return absl::OkStatus();
               });
}

}  // namespace crisp::cli
