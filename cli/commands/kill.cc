#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/life.h"
#include "cli/commands/targets.h"
#include "cli/names/inventory.h"

namespace crisp::cli {
namespace {

struct Flags {
  std::vector<std::string> targets;
  std::string signal = "KILL";
};

bool IsKill(const std::string& signal) {
  const std::string upper = absl::AsciiStrToUpper(signal);
  return upper == "9" || absl::StripPrefix(upper, "SIG") == "KILL";
}

absl::Status Kill(const Flags& flags, Context& context) {
  CRISP_ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Read(context.client));
  return ForEachTarget(flags.targets, context, [&](const std::string& target) -> absl::Status {
    CRISP_ASSIGN_OR_RETURN(const ContainerEntry entry, inventory.FindContainer(target));
    const std::string& id = entry.container.id();
    if (!entry.running()) {
      return absl::FailedPreconditionError(absl::StrCat(entry.name(), " does not run"));
    }
    // The daemon kills until nothing of it is left.
    if (IsKill(flags.signal)) return StopContainer(context.client, id, 0);
    ::crisp::v1::SignalContainerRequest request;
    request.set_container_id(id);
    request.set_signal(flags.signal);
    return context.client.Call(&Client::Admin::SignalContainer, request).status();
  });
}

}  // namespace

void AddKill(Commands& commands) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* kill = commands.Add(
      {.name = "kill",
       .help = "Send a signal to containers",
       .examples = {"crisp kill web", "crisp kill -s HUP web"},
       .description = "Without -s everything in the container is killed, and the command "
                      "returns when it has ended. Another signal goes to the first process "
                      "alone, which may overlook it."},
      [flags](Context& context) { return Kill(*flags, context); });
  kill->add_option("-s,--signal", flags->signal, "Name or number (default: KILL)")
      ->type_name("SIGNAL");
  kill->add_option("CONTAINER", flags->targets, "Names or ids")->required();
}

}  // namespace crisp::cli
