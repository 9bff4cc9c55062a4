#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/listing.h"
#include "cli/format/human.h"

namespace crisp::cli {
namespace {

using Entry = ::crisp::v1::ImageHistoryEntry;

constexpr size_t kShortDigest = sizeof("sha256:") - 1 + kShortId;
constexpr size_t kShortCommand = 60;

struct Flags {
  std::string reference;
  ListingFlags listing;
};

// Steps that made no layer have none of it.
Cell OfLayer(const Entry& entry, Cell cell) {
  return entry.empty_layer() ? Cell{.value = nullptr, .text = "-"} : std::move(cell);
}

Cell UsersCell(const Entry& entry) {
  std::vector<std::string> shorts;
  for (const std::string& container : entry.containers()) shorts.push_back(ShortId(container));
  return {.value = std::vector<std::string>(entry.containers().begin(), entry.containers().end()),
          .text = shorts.empty() ? "-" : absl::StrJoin(shorts, ","),
          .full = absl::StrJoin(entry.containers(), ",")};
}

std::vector<Column<Entry>> Columns() {
  return {
      {.name = "Created",
       .cell =
           [](const Entry& e) { return TextCell(Rfc3339(absl::FromUnixNanos(e.created_at()))); }},
      {.name = "Layer",
       .cell =
           [](const Entry& e) {
             return OfLayer(e, {.value = e.digest(),
                                .text = e.digest().substr(0, kShortDigest),
                                .full = e.digest()});
           }},
      {.name = "Size",
       .cell = [](const Entry& e) { return OfLayer(e, SizeCell(e.size_bytes())); },
       .align = Align::kRight},
      {.name = "Unpacked",
       .cell = [](const Entry& e) { return OfLayer(e, SizeCell(e.unpacked_bytes())); },
       .align = Align::kRight},
      {.name = "UsedBy", .cell = UsersCell},
      {.name = "CreatedBy",
       .cell = [](const Entry& e) { return LongCell(e.created_by(), kShortCommand); }},
      {.name = "Comment",
       .cell = [](const Entry& e) { return TextCell(e.comment()); },
       .shown = Shown::kWide},
      {.name = "DiffId",
       .cell = [](const Entry& e) { return TextCell(e.diff_id()); },
       .shown = Shown::kNamed},
  };
}

absl::Status History(const Flags& flags, Context& context) {
  CRISP_ASSIGN_OR_RETURN(const auto history, context.client.History(flags.reference));
  const std::vector<Entry> entries(history.entries().begin(), history.entries().end());
  return PrintListing(MakeTable(Columns(), entries), flags.listing, context);
}

}  // namespace

void AddHistory(Commands& commands, CLI::App* parent) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* history = commands.Add(
      {.name = "history",
       .help = "Show the layers of an image and who uses them",
       .examples = {"crisp history app:1", "crisp history --no-trunc app:1"},
       .description = "Lists the steps by which the image was made, the oldest first, and "
                      "the containers that stand on each layer."},
      [flags](Context& context) { return History(*flags, context); }, parent);
  AddOutputFlag(*history, flags->listing);
  history->add_flag("--no-trunc", flags->listing.no_trunc, "Do not shorten anything");
  history->add_option("IMAGE", flags->reference, "Name or id")->required();
}

}  // namespace crisp::cli
