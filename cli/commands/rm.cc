#include <memory>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/life.h"
#include "cli/commands/targets.h"
#include "cli/names/inventory.h"

namespace crisp::cli {
namespace {

struct Flags {
  std::vector<std::string> targets;
  bool force = false;
};

absl::Status Runs(const std::string& name) {
  return absl::FailedPreconditionError(absl::StrCat(name, " runs: stop it first, or give -f"));
}

absl::Status RemoveOne(const Subject& subject, const Flags& flags, Client& client) {
  if (const auto* pod = std::get_if<PodEntry>(&subject)) {
    if (pod->ready() && !flags.force) return Runs(pod->name());
    return RemovePod(client, pod->pod.id());
  }
  const ContainerEntry& entry = std::get<ContainerEntry>(subject);
  if (entry.running() && !flags.force) return Runs(entry.name());
  // The pod of crisp run is there for its container only.
  if (entry.pod.of_run()) return RemovePod(client, entry.container.pod_sandbox_id());
  if (entry.running()) CRISP_RETURN_IF_ERROR(StopContainer(client, entry.container.id(), 0));
  return RemoveContainer(client, entry.container.id());
}

absl::Status Rm(const Flags& flags, Context& context) {
  CRISP_ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Read(context.client));
  return ForEachTarget(flags.targets, context, [&](const std::string& target) -> absl::Status {
    const absl::StatusOr<Subject> subject = inventory.Find(target);
    // With -f what is gone is removed.
    if (flags.force && absl::IsNotFound(subject.status())) return absl::OkStatus();
    CRISP_RETURN_IF_ERROR(subject.status());
    return RemoveOne(*subject, flags, context.client);
  });
}

}  // namespace

void AddRm(Commands& commands) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* rm = commands.Add(
      {.name = "rm",
       .help = "Remove containers or pods",
       .examples = {"crisp rm web", "crisp rm -f $(crisp ps -aq --filter name=test)"},
       .description =
           "Removes containers that do not run. With a container of crisp run its pod goes as "
           "well. A pod goes with its containers."},
      [flags](Context& context) { return Rm(*flags, context); });
  rm->add_flag("-f,--force", flags->force, "Kill what runs; what is not there is no error");
  rm->add_option("TARGET", flags->targets, "Names or ids of containers or pods")->required();
}

}  // namespace crisp::cli
