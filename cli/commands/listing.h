#ifndef CRISP_CLI_COMMANDS_LISTING_H_
#define CRISP_CLI_COMMANDS_LISTING_H_

#include <string>

#include "absl/status/status.h"
#include "cli/commands/command.h"
#include "cli/format/table.h"

namespace crisp::cli {

// The flags of every listing: -o, -q, --no-trunc.
struct ListingFlags {
  std::string output = "table";
  bool quiet = false;
  bool no_trunc = false;
};

// `flags` must live as long as the command.
void AddListingFlags(CLI::App& command, ListingFlags& flags);
// The flag -o alone, for what has no ids.
void AddOutputFlag(CLI::App& command, ListingFlags& flags);

// Prints the table in the form that the flags ask for.
absl::Status PrintListing(const Table& table, const ListingFlags& flags, Context& context);

// Cells that several listings have.
Cell IdCell(const std::string& id);
// Nanoseconds since the epoch; zero is never.
Cell AgeCell(int64_t nanoseconds, absl::Time now);
Cell SizeCell(uint64_t bytes);
// Cut to `limit` characters in the table.
Cell LongCell(const std::string& text, size_t limit);

}  // namespace crisp::cli

#endif  // CRISP_CLI_COMMANDS_LISTING_H_
