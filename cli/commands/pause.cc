// crisp pause and crisp unpause.
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/targets.h"
#include "cli/names/inventory.h"

namespace crisp::cli {
namespace {

using Targets = std::vector<std::string>;

template <typename Request, typename Method>
Run ForEachContainer(std::shared_ptr<Targets> targets, Method method) {
  return [targets = std::move(targets), method](Context& context) -> absl::Status {
    CRISP_ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Read(context.client));
    return ForEachTarget(*targets, context, [&](const std::string& target) -> absl::Status {
      CRISP_ASSIGN_OR_RETURN(const ContainerEntry entry, inventory.FindContainer(target));
      Request request;
      request.set_container_id(entry.container.id());
      return context.client.Call(method, request, kSlow).status();
    });
  };
}

template <typename Request, typename Method>
void AddTo(Commands& commands, CommandText text, Method method) {
  const auto targets = std::make_shared<Targets>();
  commands.Add(std::move(text), ForEachContainer<Request>(targets, method))
      ->add_option("CONTAINER", *targets, "Names or ids")
      ->required();
}

}  // namespace

void AddPause(Commands& commands) {
  AddTo<::crisp::v1::PauseContainerRequest>(
      commands,
      {.name = "pause",
       .help = "Freeze containers",
       .examples = {"crisp pause web"},
       .description =
           "Nothing in a frozen container runs until `crisp unpause`, or until it is stopped."},
      &Client::Admin::PauseContainer);
}

void AddUnpause(Commands& commands) {
  AddTo<::crisp::v1::UnpauseContainerRequest>(
      commands,
      {.name = "unpause", .help = "Let frozen containers go on", .examples = {"crisp unpause web"}},
      &Client::Admin::UnpauseContainer);
}

}  // namespace crisp::cli
