#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/filter.h"
#include "cli/commands/listing.h"
#include "cli/commands/states.h"
#include "cli/names/inventory.h"

namespace crisp::cli {
namespace {

namespace v1 = ::runtime::v1;

struct Flags {
  ListingFlags listing;
  bool all = false;
  std::vector<std::string> filters;
};

struct Row {
  ContainerEntry entry;
  v1::ContainerStatus status;
};

bool Matches(const Filters& filters, const ContainerEntry& entry) {
  const v1::Container& container = entry.container;
  const v1::PodSandboxMetadata& pod = entry.pod.pod.metadata();
  return filters.Match("id",
                       [&](const auto& id) { return absl::StartsWith(container.id(), id); }) &&
         filters.Match("name",
                       [&](const auto& name) { return absl::StrContains(entry.name(), name); }) &&
         filters.Match("state", [&](const auto& s) { return StateName(container.state()) == s; }) &&
         filters.Match("status",
                       [&](const auto& s) { return StateName(container.state()) == s; }) &&
         filters.Match("label", [&](const auto& l) { return HasLabel(container.labels(), l); }) &&
         filters.Match("pod",
                       [&](const auto& p) {
                         return pod.name() == p || entry.pod.name() == p ||
                                absl::StartsWith(container.pod_sandbox_id(), p);
                       }) &&
         filters.Match("namespace", [&](const auto& n) { return pod.namespace_() == n; }) &&
         filters.Match("image", [&](const auto& image) {
           return absl::StrContains(container.image().image(), image);
         });
}

// What the list does not have: when it started and how it ended. A container that has gone since is
// left out.
absl::StatusOr<std::vector<Row>> Details(std::vector<ContainerEntry> entries, Context& context) {
  std::vector<Row> rows;
  for (ContainerEntry& entry : entries) {
    v1::ContainerStatusRequest request;
    request.set_container_id(entry.container.id());
    const auto reply = context.client.Call(&Client::Runtime::ContainerStatus, request);
    if (absl::IsNotFound(reply.status())) continue;
    CRISP_RETURN_IF_ERROR(reply.status());
    rows.push_back({std::move(entry), reply->status()});
  }
  return rows;
}

std::vector<Column<Row>> Columns(absl::Time now) {
  return {
      {.name = "Id", .cell = [](const Row& r) { return IdCell(r.entry.container.id()); }},
      {.name = "Name", .cell = [](const Row& r) { return TextCell(r.entry.name()); }},
      {.name = "Image",
       .cell = [](const Row& r) { return LongCell(r.entry.container.image().image(), 40); }},
      {.name = "Created",
       .cell = [now](const Row& r) { return AgeCell(r.entry.container.created_at(), now); }},
      {.name = "Status",
       .cell =
           [now](const Row& r) { return TextCell(StatusText(r.status, now), TintOf(r.status)); }},
      {.name = "State",
       .cell = [](const Row& r) { return TextCell(StateName(r.status.state())); },
       .shown = Shown::kNamed},
      {.name = "ExitCode",
       .cell =
           [](const Row& r) {
             const bool exited = r.status.state() == v1::CONTAINER_EXITED;
             return Cell{.value = exited ? Json(r.status.exit_code()) : Json(),
                         .text = exited ? std::to_string(r.status.exit_code()) : "-"};
           },
       .shown = Shown::kNamed},
      {.name = "Reason",
       .cell = [](const Row& r) { return TextCell(r.status.reason()); },
       .shown = Shown::kWide},
      {.name = "Attempt",
       .cell =
           [](const Row& r) {
             const uint32_t attempt = r.entry.container.metadata().attempt();
             return Cell{.value = attempt, .text = std::to_string(attempt)};
           },
       .shown = Shown::kWide,
       .align = Align::kRight},
      {.name = "PodId",
       .cell = [](const Row& r) { return IdCell(r.entry.container.pod_sandbox_id()); },
       .shown = Shown::kWide},
      {.name = "ImageId",
       .cell = [](const Row& r) { return IdCell(r.entry.container.image_id()); },
       .shown = Shown::kWide},
      {.name = "Labels",
       .cell =
           [](const Row& r) {
             Json labels = Json::object();
             for (const auto& [key, value] : r.entry.container.labels()) labels[key] = value;
             return Cell{.value = labels, .text = DumpJson(labels)};
           },
       .shown = Shown::kNamed},
  };
}

absl::Status Ps(const Flags& flags, Context& context) {
  CRISP_ASSIGN_OR_RETURN(const Filters filters,
                         Filters::Parse(flags.filters, {"id", "name", "state", "status", "label",
                                                        "pod", "namespace", "image"}));
  CRISP_ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Read(context.client));
  const bool all = flags.all || filters.Has("state") || filters.Has("status");
  std::vector<ContainerEntry> entries;
  for (const ContainerEntry& entry : inventory.containers()) {
    if ((all || entry.running()) && Matches(filters, entry)) entries.push_back(entry);
  }
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return a.container.created_at() > b.container.created_at();
  });
  CRISP_ASSIGN_OR_RETURN(const std::vector<Row> rows, Details(std::move(entries), context));
  return PrintListing(MakeTable(Columns(context.now), rows), flags.listing, context);
}

}  // namespace

void AddPs(Commands& commands) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* ps = commands.Add(
      {.name = "ps",
       .help = "List containers",
       .examples = {"crisp ps", "crisp ps -a --filter namespace=kube-system",
                    "crisp ps -o template='{{.Name}}\\t{{.Status}}'"},
       .description =
           "Lists the containers that run, the youngest first. A container of crisp run has "
           "the name that it was given, one of the kubelet is namespace/pod/container."},
      [flags](Context& context) { return Ps(*flags, context); });
  ps->add_flag("-a,--all", flags->all, "Also those that do not run");
  ps->add_option(
        "-f,--filter", flags->filters,
        "Only those with KEY=VALUE: id, name, state, label, pod, namespace, image. The same "
        "key again is an alternative")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  AddListingFlags(*ps, flags->listing);
}

}  // namespace crisp::cli
