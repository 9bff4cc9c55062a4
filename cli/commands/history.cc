#include <memory>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "base/status.h"
#include "cli/commands/commands.h"
#include "cli/format/human.h"

namespace crisp::cli {
namespace {

constexpr size_t kDigestPrefix = 7;  // "sha256:"

absl::Status History(const std::string& reference, Context& context) {
  CRISP_ASSIGN_OR_RETURN(const auto history, context.client.History(reference));
  context.out << absl::StrFormat("%-20s  %-20s  %10s  %10s  %s\n", "CREATED", "LAYER", "SIZE",
                                 "UNPACKED", "CREATED BY");
  for (const auto& entry : history.entries()) {
    const std::string created = absl::FormatTime(
        "%Y-%m-%dT%H:%M:%SZ", absl::FromUnixNanos(entry.created_at()), absl::UTCTimeZone());
    const bool layer = !entry.empty_layer();
    context.out << absl::StrFormat("%-20s  %-20s  %10s  %10s  %s\n", created,
                                   layer ? entry.digest().substr(0, kDigestPrefix + kShortId) : "-",
                                   layer ? HumanBytes(entry.size_bytes()) : "-",
                                   layer ? HumanBytes(entry.unpacked_bytes()) : "-",
                                   entry.created_by());
    for (const std::string& container : entry.containers()) {
      context.out << absl::StrFormat("%22sused by %s\n", "", container.substr(0, kShortId));
    }
  }
  return absl::OkStatus();
}

}  // namespace

void AddHistory(Commands& commands, CLI::App* parent) {
  const auto reference = std::make_shared<std::string>();
  commands
      .Add(
          {.name = "history",
           .help = "Show the layers of an image and who uses them",
           .examples = {"crisp history app:1"}},
          [reference](Context& context) { return History(*reference, context); }, parent)
      ->add_option("IMAGE", *reference, "Name or id")
      ->required();
}

}  // namespace crisp::cli
