#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/filter.h"
#include "cli/commands/listing.h"
#include "cli/names/inventory.h"

namespace crisp::cli {
namespace {

namespace v1 = ::runtime::v1;

struct Flags {
  ListingFlags listing;
  std::vector<std::string> filters;
};

struct Row {
  PodEntry entry;
  std::vector<ContainerEntry> containers;
  std::string ip;
};

std::string State(const PodEntry& entry) { return entry.ready() ? "ready" : "notready"; }

bool Matches(const Filters& filters, const PodEntry& entry) {
  const v1::PodSandbox& pod = entry.pod;
  return filters.Match("id", [&](const auto& id) { return absl::StartsWith(pod.id(), id); }) &&
         filters.Match("name",
                       [&](const auto& name) { return absl::StrContains(entry.name(), name); }) &&
         filters.Match("state", [&](const auto& state) { return State(entry) == state; }) &&
         filters.Match("label", [&](const auto& l) { return HasLabel(pod.labels(), l); }) &&
         filters.Match("namespace",
                       [&](const auto& n) { return pod.metadata().namespace_() == n; });
}

absl::StatusOr<std::vector<Row>> Rows(const Filters& filters, Context& context) {
  CRISP_ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Read(context.client));
  std::vector<Row> rows;
  for (const PodEntry& entry : inventory.pods()) {
    if (!Matches(filters, entry)) continue;
    v1::PodSandboxStatusRequest request;
    request.set_pod_sandbox_id(entry.pod.id());
    const auto reply = context.client.Call(&Client::Runtime::PodSandboxStatus, request);
    if (absl::IsNotFound(reply.status())) continue;  // it went in between
    CRISP_RETURN_IF_ERROR(reply.status());
    rows.push_back({entry, inventory.ContainersOf(entry.pod.id()), reply->status().network().ip()});
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    return a.entry.pod.created_at() > b.entry.pod.created_at();
  });
  return rows;
}

Cell ContainersCell(const Row& row) {
  const auto running = std::count_if(row.containers.begin(), row.containers.end(),
                                     [](const ContainerEntry& e) { return e.running(); });
  Json names = Json::array();
  for (const ContainerEntry& entry : row.containers) {
    names.push_back(entry.container.metadata().name());
  }
  return {.value = std::move(names), .text = absl::StrCat(running, "/", row.containers.size())};
}

std::vector<Column<Row>> Columns(absl::Time now) {
  return {
      {.name = "Id", .cell = [](const Row& r) { return IdCell(r.entry.pod.id()); }},
      {.name = "Namespace",
       .cell = [](const Row& r) { return TextCell(r.entry.pod.metadata().namespace_()); }},
      {.name = "Name",
       .cell = [](const Row& r) { return TextCell(r.entry.pod.metadata().name()); }},
      {.name = "State",
       .cell =
           [](const Row& r) {
             return TextCell(State(r.entry), r.entry.ready() ? Tint::kGood : Tint::kFaint);
           }},
      {.name = "Containers", .cell = ContainersCell, .align = Align::kRight},
      {.name = "Ip", .cell = [](const Row& r) { return TextCell(r.ip); }},
      {.name = "Created",
       .cell = [now](const Row& r) { return AgeCell(r.entry.pod.created_at(), now); }},
      {.name = "Attempt",
       .cell =
           [](const Row& r) {
             const uint32_t attempt = r.entry.pod.metadata().attempt();
             return Cell{.value = attempt, .text = std::to_string(attempt)};
           },
       .shown = Shown::kWide,
       .align = Align::kRight},
      {.name = "Handler",
       .cell = [](const Row& r) { return TextCell(r.entry.pod.runtime_handler()); },
       .shown = Shown::kWide},
      {.name = "Uid",
       .cell = [](const Row& r) { return TextCell(r.entry.pod.metadata().uid()); },
       .shown = Shown::kNamed},
  };
}

absl::Status Pods(const Flags& flags, Context& context) {
  CRISP_ASSIGN_OR_RETURN(
      const Filters filters,
      Filters::Parse(flags.filters, {"id", "name", "state", "label", "namespace"}));
  CRISP_ASSIGN_OR_RETURN(const std::vector<Row> rows, Rows(filters, context));
  return PrintListing(MakeTable(Columns(context.now), rows), flags.listing, context);
}

}  // namespace

void AddPods(Commands& commands) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* pods = commands.Add(
      {.name = "pods",
       .help = "List pods",
       .examples = {"crisp pods", "crisp pods --filter state=ready -o wide"},
       .description = "Lists the pods with their addresses, the youngest first. CONTAINERS "
                      "is how many run, and how many there are."},
      [flags](Context& context) { return Pods(*flags, context); });
  pods->add_option("-f,--filter", flags->filters,
                   "Only those with KEY=VALUE: id, name, state (ready, notready), label, namespace")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  AddListingFlags(*pods, flags->listing);
}

}  // namespace crisp::cli
