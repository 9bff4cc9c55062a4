#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/listing.h"
#include "cli/names/inventory.h"

namespace crisp::cli {
namespace {

namespace v1 = ::runtime::v1;

struct Row {
  std::string type;
  size_t total = 0;
  size_t active = 0;
  uint64_t bytes = 0;
  uint64_t inodes = 0;
  std::string path;
};

void AddUsage(const google::protobuf::RepeatedPtrField<v1::FilesystemUsage>& systems, Row& row) {
  for (const v1::FilesystemUsage& system : systems) {
    row.bytes += system.used_bytes().value();
    row.inodes += system.inodes_used().value();
    if (row.path.empty()) row.path = system.fs_id().mountpoint();
  }
}

std::vector<Column<Row>> Columns() {
  const auto number = [](uint64_t count) {
    return Cell{.value = count, .text = absl::StrCat(count)};
  };
  return {
      {.name = "Type", .cell = [](const Row& r) { return TextCell(r.type); }},
      {.name = "Total",
       .cell = [number](const Row& r) { return number(r.total); },
       .align = Align::kRight},
      {.name = "Active",
       .cell = [number](const Row& r) { return number(r.active); },
       .align = Align::kRight},
      {.name = "Size",
       .cell = [](const Row& r) { return SizeCell(r.bytes); },
       .align = Align::kRight},
      {.name = "Inodes",
       .cell = [number](const Row& r) { return number(r.inodes); },
       .align = Align::kRight},
      {.name = "Path", .cell = [](const Row& r) { return TextCell(r.path); }},
  };
}

absl::Status Df(const ListingFlags& flags, Context& context) {
  CRISP_ASSIGN_OR_RETURN(const auto usage, context.client.Call(&Client::Images::ImageFsInfo,
                                                               v1::ImageFsInfoRequest()));
  CRISP_ASSIGN_OR_RETURN(const auto listed, context.client.ListImages());
  CRISP_ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Read(context.client));
  std::set<std::string> used;
  Row containers{.type = "containers", .total = inventory.containers().size()};
  for (const ContainerEntry& entry : inventory.containers()) {
    used.insert(entry.container.image_id());
    containers.active += entry.running();
  }
  Row images{.type = "images", .total = static_cast<size_t>(listed.images_size())};
  for (const v1::Image& image : listed.images()) images.active += used.count(image.id());
  AddUsage(usage.image_filesystems(), images);
  AddUsage(usage.container_filesystems(), containers);
  return PrintListing(MakeTable(Columns(), std::vector<Row>{images, containers}), flags, context);
}

}  // namespace

void AddDf(Commands& commands) {
  const auto flags = std::make_shared<ListingFlags>();
  CLI::App* df = commands.Add(
      {.name = "df",
       .help = "Show the disk space of images and containers",
       .examples = {"crisp df"},
       .description =
           "ACTIVE are the images that a container stands on, and the containers that run. "
           "Layers that images share count once. `crisp prune` frees space."},
      [flags](Context& context) { return Df(*flags, context); });
  AddOutputFlag(*df, *flags);
}

}  // namespace crisp::cli
