#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/listing.h"
#include "cli/names/inventory.h"

namespace crisp::cli {
namespace {

using Change = ::crisp::v1::ContainerChange;

struct Flags {
  std::string target;
  ListingFlags listing;
};

// As docker has them.
const char* KindName(Change::Kind kind) {
  switch (kind) {
    case Change::ADDED:
      return "A";
    case Change::DELETED:
      return "D";
    default:
      return "C";
  }
}

Tint TintOf(Change::Kind kind) {
  if (kind == Change::ADDED) return Tint::kGood;
  return kind == Change::DELETED ? Tint::kBad : Tint::kNone;
}

std::vector<Column<Change>> Columns() {
  return {
      {.name = "Kind",
       .cell = [](const Change& c) { return TextCell(KindName(c.kind()), TintOf(c.kind())); }},
      {.name = "Path", .cell = [](const Change& c) { return TextCell(c.path()); }},
  };
}

absl::Status Diff(const Flags& flags, Context& context) {
  CRISP_ASSIGN_OR_RETURN(const ContainerEntry entry,
                         ResolveContainer(context.client, flags.target));
  ::crisp::v1::ContainerChangesRequest request;
  request.set_container_id(entry.container.id());
  CRISP_ASSIGN_OR_RETURN(const auto reply,
                         context.client.Call(&Client::Admin::ContainerChanges, request, kSlow));
  const std::vector<Change> changes(reply.changes().begin(), reply.changes().end());
  CRISP_RETURN_IF_ERROR(PrintListing(MakeTable(Columns(), changes), flags.listing, context));
  if (reply.truncated()) context.err << "crisp: there are more changes than these\n";
  return absl::OkStatus();
}

}  // namespace

void AddDiff(Commands& commands) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* diff =
      commands.Add({.name = "diff",
                    .help = "Show what a container has changed in its root",
                    .examples = {"crisp diff web"},
                    .description = "A is added, C changed, D deleted. Volumes are not looked at."},
                   [flags](Context& context) { return Diff(*flags, context); });
  AddOutputFlag(*diff, flags->listing);
  diff->add_option("CONTAINER", flags->target, "Name or id")->required();
}

}  // namespace crisp::cli
