#include "cli/commands/listing.h"

#include <ostream>

#include "base/status.h"
#include "cli/format/human.h"
#include "cli/format/render.h"

namespace crisp::cli {

void AddOutputFlag(CLI::App& command, ListingFlags& flags) {
  command
      .add_option("-o,--output", flags.output,
                  "table, wide, json, yaml, or template=TEXT with {{.Column}}, {{json .}}")
      ->type_name("FORM");
}

void AddListingFlags(CLI::App& command, ListingFlags& flags) {
  AddOutputFlag(command, flags);
  command.add_flag("-q,--quiet", flags.quiet, "Only the ids");
  command.add_flag("--no-trunc", flags.no_trunc, "Do not shorten anything");
}

absl::Status PrintListing(const Table& table, const ListingFlags& flags, Context& context) {
  CRISP_ASSIGN_OR_RETURN(const std::string text, Render(table, {.output = flags.output,
                                                                .quiet = flags.quiet,
                                                                .no_trunc = flags.no_trunc,
                                                                .colours = context.colours}));
  context.out << text << std::flush;
  return absl::OkStatus();
}

Cell IdCell(const std::string& id) { return {.value = id, .text = ShortId(id), .full = id}; }

Cell AgeCell(int64_t nanoseconds, absl::Time now) {
  const absl::Time time = absl::FromUnixNanos(nanoseconds);
  const std::string exact = Rfc3339(time);
  return {.value = exact.empty() ? Json() : Json(exact), .text = HumanAge(time, now)};
}

Cell SizeCell(uint64_t bytes) { return {.value = bytes, .text = HumanBytes(bytes)}; }

Cell LongCell(const std::string& text, size_t limit) {
  return {.value = text, .text = Ellipsis(text, limit), .full = text};
}

}  // namespace crisp::cli
