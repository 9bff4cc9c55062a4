#include <memory>

#include "absl/strings/str_format.h"
#include "base/json.h"
#include "base/status.h"
#include "cli/commands/commands.h"
#include "cli/names/inventory.h"

namespace crisp::cli {
namespace {

struct Flags {
  std::string id;
  bool timing = false;
};

// The steps of the operations on a pod or container, in the order in which they began.
absl::Status PrintTiming(const Json& explained, Context& context) {
  CRISP_ASSIGN_OR_RETURN(const Json* steps, JsonArray(explained, "timing"));
  context.out << absl::StrFormat("%-17s  %-12s  %10s  %s\n", "OPERATION", "STEP", "TIME", "BEGAN");
  for (const Json& step : *steps) {
    CRISP_ASSIGN_OR_RETURN(const std::string operation, JsonString(step, "operation"));
    CRISP_ASSIGN_OR_RETURN(const std::string name, JsonString(step, "step"));
    CRISP_ASSIGN_OR_RETURN(const std::string at, JsonString(step, "at"));
    CRISP_ASSIGN_OR_RETURN(const int64_t took, JsonInt(step, "microseconds"));
    context.out << absl::StrFormat("%-17s  %-12s  %7.3f ms  %s\n", operation, name,
                                   static_cast<double>(took) / 1000, at);
  }
  return absl::OkStatus();
}

absl::Status Explain(const Flags& flags, Context& context) {
  CRISP_ASSIGN_OR_RETURN(const Subject subject, Resolve(context.client, flags.id));
  CRISP_ASSIGN_OR_RETURN(const Json explained, context.client.Explain(IdOf(subject)));
  if (flags.timing) return PrintTiming(explained, context);
  context.out << DumpJson(explained, 2) << "\n";
  return absl::OkStatus();
}

}  // namespace

void AddExplain(Commands& commands) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* explain = commands.Add(
      {.name = "explain",
       .help = "Show what a container was started with",
       .examples = {"crisp explain web", "crisp explain --timing web"},
       .description = "Prints the OCI spec and the launch plan of a container, and what the "
                      "kernel made of them, as JSON."},
      [flags](Context& context) { return Explain(*flags, context); });
  explain->add_flag("--timing", flags->timing, "Only how long the steps took; of a pod, too");
  explain->add_option("ID", flags->id, "Container or pod: a name, an id or a prefix of one")
      ->required();
}

}  // namespace crisp::cli
