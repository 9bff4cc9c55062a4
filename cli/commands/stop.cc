#include <memory>
#include <variant>

#include "base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/life.h"
#include "cli/commands/targets.h"
#include "cli/names/inventory.h"

namespace crisp::cli {
namespace {

constexpr int64_t kDefaultTimeout = 10;
constexpr int64_t kMaxTimeout = 24 * 3600;

struct Flags {
  std::vector<std::string> targets;
  int64_t timeout = kDefaultTimeout;
};

absl::Status Stop(const Flags& flags, Context& context) {
  CRISP_ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Read(context.client));
  return ForEachTarget(flags.targets, context, [&](const std::string& target) -> absl::Status {
    CRISP_ASSIGN_OR_RETURN(const Subject subject, inventory.Find(target));
    if (std::holds_alternative<PodEntry>(subject)) return StopPod(context.client, IdOf(subject));
    return StopContainer(context.client, IdOf(subject), flags.timeout);
  });
}

}  // namespace

void AddStop(Commands& commands) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* stop = commands.Add(
      {.name = "stop",
       .help = "Stop containers or pods",
       .examples = {"crisp stop web", "crisp stop -t 60 default/db-0/postgres"},
       .description =
           "Sends the stop signal, and SIGKILL when the time is over. A container of the "
           "kubelet may be started again by it: its pod's restartPolicy decides. A pod is "
           "stopped with its containers."},
      [flags](Context& context) { return Stop(*flags, context); });
  stop->add_option("-t,--time", flags->timeout,
                   "Seconds between the stop signal and SIGKILL (default: 10)")
      ->type_name("SECONDS")
      ->check(CLI::Range(int64_t{0}, kMaxTimeout));
  stop->add_option("TARGET", flags->targets, "Names or ids of containers or pods")->required();
}

}  // namespace crisp::cli
