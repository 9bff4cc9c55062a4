#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "cli/commands/commands.h"
#include "cli/commands/filter.h"
#include "cli/commands/listing.h"

namespace crisp::cli {
namespace {

namespace v1 = ::runtime::v1;

struct Flags {
  ListingFlags listing;
  std::vector<std::string> filters;
};

template <typename Names>
Json List(const Names& names) {
  return Json(std::vector<std::string>(names.begin(), names.end()));
}

Cell NamesCell(const v1::Image& image) {
  std::string text = image.repo_tags().empty() ? absl::StrJoin(image.repo_digests(), " ")
                                               : absl::StrJoin(image.repo_tags(), " ");
  if (image.pinned()) text += " (pinned)";
  return {.value = List(image.repo_tags()), .text = text};
}

std::vector<Column<v1::Image>> Columns() {
  return {
      {.name = "Id", .cell = [](const v1::Image& i) { return IdCell(i.id()); }},
      {.name = "Size",
       .cell = [](const v1::Image& i) { return SizeCell(i.size()); },
       .align = Align::kRight},
      {.name = "Names", .cell = NamesCell},
      {.name = "Digests",
       .cell =
           [](const v1::Image& i) {
             return Cell{.value = List(i.repo_digests()),
                         .text = absl::StrJoin(i.repo_digests(), " ")};
           },
       .shown = Shown::kWide},
      {.name = "User",
       .cell =
           [](const v1::Image& i) {
             return TextCell(i.has_uid() ? std::to_string(i.uid().value()) : i.username());
           },
       .shown = Shown::kWide},
      {.name = "Pinned",
       .cell =
           [](const v1::Image& i) {
             return Cell{.value = i.pinned(), .text = i.pinned() ? "true" : "false"};
           },
       .shown = Shown::kNamed},
  };
}

absl::Status ListThem(const Flags& flags, Context& context) {
  CRISP_ASSIGN_OR_RETURN(const Filters filters,
                         Filters::Parse(flags.filters, {"name", "id", "dangling"}));
  CRISP_ASSIGN_OR_RETURN(const auto listed, context.client.ListImages());
  std::vector<v1::Image> images;
  for (const v1::Image& image : listed.images()) {
    const std::string id = image.id().substr(image.id().find(':') + 1);
    const bool matches = filters.Match("id", [&](const auto& i) {
      return absl::StartsWith(id, i) || absl::StartsWith(image.id(), i);
    }) && filters.Match("dangling", [&](const auto& d) {
      return image.repo_tags().empty() == (d == "true");
    }) && filters.Match("name", [&](const auto& name) {
      return std::any_of(image.repo_tags().begin(), image.repo_tags().end(),
                         [&](const auto& tag) { return absl::StrContains(tag, name); });
    });
    if (matches) images.push_back(image);
  }
  return PrintListing(MakeTable(Columns(), images), flags.listing, context);
}

void AddFlags(CLI::App& command, Flags& flags) {
  command
      .add_option("-f,--filter", flags.filters,
                  "Only those with KEY=VALUE: name, id, dangling (true: without a tag)")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  AddListingFlags(command, flags.listing);
}

}  // namespace

void AddImages(Commands& commands) {
  const auto flags = std::make_shared<Flags>();
  const Run run = [flags](Context& context) { return ListThem(*flags, context); };
  CLI::App* images =
      commands.Add({.name = "images",
                    .help = "List images, or work with them",
                    .examples = {"crisp images", "crisp images --filter name=app -o json"},
                    .description = "Without a further word it lists the images, as "
                                   "`crisp images list` does."},
                   run);
  AddFlags(*images, *flags);
  const auto list_flags = std::make_shared<Flags>();
  CLI::App* list = commands.Add(
      {.name = "list", .help = "List images", .examples = {"crisp images list -o wide"}},
      [list_flags](Context& context) { return ListThem(*list_flags, context); }, images);
  AddFlags(*list, *list_flags);
  AddImport(commands, images);
  AddExport(commands, images);
  AddHistory(commands, images);
}

}  // namespace crisp::cli
