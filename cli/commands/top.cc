#include <errno.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json.h"
#include "base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/listing.h"
#include "cli/commands/processes.h"
#include "cli/names/inventory.h"

namespace crisp::cli {
namespace {

constexpr size_t kShortCommand = 80;

struct Flags {
  std::string target;
  ListingFlags listing;
};

// "1:02:03", as ps has it.
std::string Clock(absl::Duration duration) {
  const int64_t seconds = duration / absl::Seconds(1);
  return absl::StrFormat("%d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

std::vector<Column<NodeProcess>> Columns() {
  const auto number = [](int64_t count) {
    return Cell{.value = count, .text = absl::StrCat(count)};
  };
  return {
      {.name = "Pid",
       .cell = [number](const NodeProcess& p) { return number(p.pid); },
       .align = Align::kRight},
      {.name = "Parent",
       .cell = [number](const NodeProcess& p) { return number(p.parent); },
       .align = Align::kRight},
      {.name = "Uid",
       .cell = [number](const NodeProcess& p) { return number(p.uid); },
       .align = Align::kRight},
      {.name = "State",
       .cell = [](const NodeProcess& p) { return TextCell(std::string(1, p.state)); }},
      {.name = "Time",
       .cell =
           [](const NodeProcess& p) {
             return Cell{.value = absl::ToDoubleSeconds(p.cpu_time), .text = Clock(p.cpu_time)};
           },
       .align = Align::kRight},
      {.name = "Rss",
       .cell = [](const NodeProcess& p) { return SizeCell(p.rss_bytes); },
       .align = Align::kRight},
      {.name = "Command",
       .cell = [](const NodeProcess& p) { return LongCell(p.command, kShortCommand); }},
  };
}

absl::StatusOr<std::vector<int64_t>> Pids(const std::string& id, Client& client) {
  CRISP_ASSIGN_OR_RETURN(const Json explained, client.Explain(id));
  CRISP_ASSIGN_OR_RETURN(const Json* kernel, JsonObject(explained, "kernel"));
  CRISP_ASSIGN_OR_RETURN(const Json* listed, JsonArray(*kernel, "pids"));
  std::vector<int64_t> pids;
  for (const Json& pid : *listed) {
    if (!pid.is_number_integer()) return absl::InternalError("the daemon's list of pids has none");
    pids.push_back(pid.get<int64_t>());
  }
  return pids;
}

absl::Status Top(const Flags& flags, Context& context) {
  CRISP_ASSIGN_OR_RETURN(const ContainerEntry entry,
                         ResolveContainer(context.client, flags.target));
  if (!entry.running()) {
    return absl::FailedPreconditionError(absl::StrCat(entry.name(), " does not run"));
  }
  CRISP_ASSIGN_OR_RETURN(const std::vector<int64_t> pids,
                         Pids(entry.container.id(), context.client));
  std::vector<NodeProcess> processes;
  size_t hidden = 0;
  for (const int64_t pid : pids) {
    absl::StatusOr<NodeProcess> process = ReadProcess("/proc", pid);
    if (process.ok()) {
      processes.push_back(*std::move(process));
    } else if (!absl::IsNotFound(process.status()) && ErrnoOf(process.status()) != ESRCH) {
      ++hidden;  // it has not ended: this user may not look
    }
  }
  CRISP_RETURN_IF_ERROR(PrintListing(MakeTable(Columns(), processes), flags.listing, context));
  if (hidden > 0) {
    context.err << "crisp: " << hidden << " processes could not be read"
                << (geteuid() == 0 ? "" : ": run crisp as root") << "\n";
  }
  return absl::OkStatus();
}

}  // namespace

void AddTop(Commands& commands) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* top = commands.Add(
      {.name = "top",
       .help = "Show the processes of a container",
       .examples = {"crisp top web"},
       .description =
           "Lists what is in the container's cgroup, with the numbers and users that the node "
           "has for them. Nothing is started in the container."},
      [flags](Context& context) { return Top(*flags, context); });
  AddListingFlags(*top, flags->listing);
  top->add_option("CONTAINER", flags->target, "Name or id")->required();
}

}  // namespace crisp::cli
