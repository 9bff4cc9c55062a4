#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/listing.h"
#include "cli/format/human.h"
#include "cli/names/inventory.h"

namespace crisp::cli {
namespace {

namespace v1 = ::runtime::v1;

constexpr absl::Duration kInterval = absl::Seconds(2);
constexpr char kClear[] = "\x1b[H\x1b[2J";

struct Flags {
  std::vector<std::string> targets;
  bool no_stream = false;
  ListingFlags listing;
};

struct Row {
  std::string name;
  v1::ContainerStats stats;
  double cpu_percent = 0;  // of one CPU
};

// The CPU time of each container at a sample, in nanoseconds.
struct Sample {
  int64_t at = 0;
  uint64_t cpu = 0;
};
using Samples = std::map<std::string, Sample>;

// Between two samples where there are two, else what the daemon measured.
double CpuPercent(const v1::ContainerStats& stats, const Samples& before) {
  const v1::CpuUsage& cpu = stats.cpu();
  const auto last = before.find(stats.attributes().id());
  const uint64_t now = cpu.usage_core_nano_seconds().value();
  if (last != before.end() && cpu.timestamp() > last->second.at && now >= last->second.cpu) {
    return 100.0 * static_cast<double>(now - last->second.cpu) /
           static_cast<double>(cpu.timestamp() - last->second.at);
  }
  return static_cast<double>(cpu.usage_nano_cores().value()) / 1e7;
}

uint64_t Limit(const v1::MemoryUsage& memory) {
  return memory.has_available_bytes()
             ? memory.working_set_bytes().value() + memory.available_bytes().value()
             : 0;
}

Cell MemoryPercent(const v1::MemoryUsage& memory) {
  const uint64_t limit = Limit(memory);
  if (limit == 0) return {.value = nullptr, .text = "-"};
  const double percent =
      100.0 * static_cast<double>(memory.working_set_bytes().value()) / static_cast<double>(limit);
  return {.value = percent, .text = absl::StrFormat("%.2f%%", percent)};
}

std::vector<Column<Row>> Columns() {
  return {
      {.name = "Id", .cell = [](const Row& r) { return IdCell(r.stats.attributes().id()); }},
      {.name = "Name", .cell = [](const Row& r) { return TextCell(r.name); }},
      {.name = "Cpu",
       .cell =
           [](const Row& r) {
             return Cell{.value = r.cpu_percent, .text = absl::StrFormat("%.2f%%", r.cpu_percent)};
           },
       .align = Align::kRight},
      {.name = "Memory",
       .cell = [](const Row& r) { return SizeCell(r.stats.memory().working_set_bytes().value()); },
       .align = Align::kRight},
      {.name = "Limit",
       .cell =
           [](const Row& r) {
             const uint64_t limit = Limit(r.stats.memory());
             return limit == 0 ? Cell{.value = nullptr, .text = "-"} : SizeCell(limit);
           },
       .align = Align::kRight},
      {.name = "MemoryPercent",
       .cell = [](const Row& r) { return MemoryPercent(r.stats.memory()); },
       .align = Align::kRight},
      {.name = "Disk",
       .cell = [](const Row& r) { return SizeCell(r.stats.writable_layer().used_bytes().value()); },
       .align = Align::kRight},
      {.name = "Rss",
       .cell = [](const Row& r) { return SizeCell(r.stats.memory().rss_bytes().value()); },
       .shown = Shown::kWide,
       .align = Align::kRight},
      {.name = "Swap",
       .cell = [](const Row& r) { return SizeCell(r.stats.swap().swap_usage_bytes().value()); },
       .shown = Shown::kWide,
       .align = Align::kRight},
      {.name = "Inodes",
       .cell =
           [](const Row& r) {
             const uint64_t inodes = r.stats.writable_layer().inodes_used().value();
             return Cell{.value = inodes, .text = absl::StrCat(inodes)};
           },
       .shown = Shown::kWide,
       .align = Align::kRight},
  };
}

// The containers that are wanted, and the samples for the next round.
absl::StatusOr<std::vector<Row>> Round(const Flags& flags, Client& client, Samples& samples) {
  CRISP_ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Read(client));
  std::set<std::string> wanted;
  for (const std::string& target : flags.targets) {
    CRISP_ASSIGN_OR_RETURN(const ContainerEntry entry, inventory.FindContainer(target));
    wanted.insert(entry.container.id());
  }
  CRISP_ASSIGN_OR_RETURN(const auto reply, client.Call(&Client::Runtime::ListContainerStats,
                                                       v1::ListContainerStatsRequest()));
  std::map<std::string, v1::ContainerStats> by_id;
  for (const v1::ContainerStats& stats : reply.stats()) by_id[stats.attributes().id()] = stats;
  std::vector<Row> rows;
  Samples now;
  for (const ContainerEntry& entry : inventory.containers()) {
    const std::string& id = entry.container.id();
    const auto stats = by_id.find(id);
    if (stats == by_id.end() || !entry.running()) continue;
    if (!wanted.empty() && wanted.count(id) == 0) continue;
    rows.push_back({entry.name(), stats->second, CpuPercent(stats->second, samples)});
    now[id] = {stats->second.cpu().timestamp(),
               stats->second.cpu().usage_core_nano_seconds().value()};
  }
  samples = std::move(now);
  return rows;
}

absl::Status Stats(const Flags& flags, Context& context) {
  Samples samples;
  while (true) {
    CRISP_ASSIGN_OR_RETURN(const std::vector<Row> rows, Round(flags, context.client, samples));
    if (!flags.no_stream && context.terminal) context.out << kClear;
    CRISP_RETURN_IF_ERROR(PrintListing(MakeTable(Columns(), rows), flags.listing, context));
    // A pipe whose reader has gone ends the program by a signal, or shows here.
    if (flags.no_stream || !context.out) return absl::OkStatus();
    absl::SleepFor(kInterval);
  }
}

}  // namespace

void AddStats(Commands& commands) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* stats = commands.Add(
      {.name = "stats",
       .help = "Show what containers use",
       .examples = {"crisp stats", "crisp stats --no-stream -o json web"},
       .description =
           "Shows the running containers, again every two seconds. CPU is in percent of one "
           "CPU. MEMORY is the working set."},
      [flags](Context& context) { return Stats(*flags, context); });
  stats->add_flag("--no-stream", flags->no_stream, "Show them once");
  AddListingFlags(*stats, flags->listing);
  stats->add_option("CONTAINER", flags->targets, "Names or ids (default: all that run)");
}

}  // namespace crisp::cli
