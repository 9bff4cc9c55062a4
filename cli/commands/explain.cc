#include <memory>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json.h"
#include "base/status.h"
#include "cli/commands/commands.h"
#include "cli/explain/explain_collect.h"
#include "cli/explain/explain_text.h"
#include "cli/names/inventory.h"

namespace crisp::cli {
namespace {

struct Flags {
  std::string id;
  std::string output = "text";
  bool timing = false;
  bool show_me = false;
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

absl::Status PrintPage(const Flags& flags,
                       const Inventory& inventory,
                       const Subject& subject,
                       Context& context) {
  const ExplainStyle style{
      .colours = context.colours, .show_me = flags.show_me, .now = context.now};
  if (const auto* container = std::get_if<ContainerEntry>(&subject)) {
    CRISP_ASSIGN_OR_RETURN(const ExplainFacts facts,
                           CollectContainer(context.client, inventory, *container));
    context.out << RenderContainer(facts, style);
  } else {
    CRISP_ASSIGN_OR_RETURN(const ExplainFacts facts,
                           CollectPod(context.client, inventory, std::get<PodEntry>(subject)));
    context.out << RenderPod(facts, style);
  }
  return absl::OkStatus();
}

absl::Status Explain(const Flags& flags, Context& context) {
  CRISP_ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Read(context.client));
  CRISP_ASSIGN_OR_RETURN(const Subject subject, inventory.Find(flags.id));
  if (!flags.timing && flags.output == "text") {
    return PrintPage(flags, inventory, subject, context);
  }
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
       .help = "Show what makes a container or a pod: namespaces, limits, layers, network",
       .examples = {"crisp explain web", "crisp explain --show-me web", "crisp explain -o json web",
                    "crisp explain --timing web"},
       .description =
           "Prints the namespaces of a container and who shares them, its cgroup with each limit "
           "beside what is used, the layers below its root directory and who else stands on them, "
           "mounts, capabilities, the network's path, and how long each step of its start took. "
           "As JSON it prints the OCI spec that it was started with, and its processes."},
      [flags](Context& context) { return Explain(*flags, context); });
  explain->add_option("-o,--output", flags->output, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  explain->add_flag("--show-me", flags->show_me, "With commands for a shell that prove each part");
  explain->add_flag("--timing", flags->timing, "Only how long the steps took");
  explain->add_option("ID", flags->id, "Container or pod: a name, an id or a prefix of one")
      ->required();
}

}  // namespace crisp::cli
