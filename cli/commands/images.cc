#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "cli/commands/commands.h"
#include "cli/format/human.h"

namespace crisp::cli {
namespace {

absl::Status List(Context& context) {
  CRISP_ASSIGN_OR_RETURN(const auto images, context.client.ListImages());
  context.out << absl::StrFormat("%-*s  %10s  %s\n", static_cast<int>(kShortId), "ID", "SIZE",
                                 "NAMES");
  for (const auto& image : images.images()) {
    context.out << absl::StrFormat("%-*s  %10s  %s%s\n", static_cast<int>(kShortId),
                                   ShortId(image.id()), HumanBytes(image.size()),
                                   image.repo_tags().empty()
                                       ? absl::StrJoin(image.repo_digests(), " ")
                                       : absl::StrJoin(image.repo_tags(), " "),
                                   image.pinned() ? " (pinned)" : "");
  }
  return absl::OkStatus();
}

}  // namespace

void AddImages(Commands& commands) {
  CLI::App* images = commands.Add(
      {.name = "images", .help = "Images of the node", .examples = {"crisp images"}}, List);
  commands.Add({.name = "list", .help = "List images", .examples = {"crisp images list"}}, List,
               images);
  AddImport(commands, images);
  AddExport(commands, images);
  AddHistory(commands, images);
}

}  // namespace crisp::cli
