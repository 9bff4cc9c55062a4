#ifndef CRISP_CLI_FORMAT_HUMAN_H_
#define CRISP_CLI_FORMAT_HUMAN_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace crisp::cli {

// How much of an id a table shows. It is enough to be taken for the whole one.
inline constexpr size_t kShortId = 12;

// "512 B", "1.5 KiB", "3.0 GiB".
std::string HumanBytes(uint64_t bytes);
// "4 seconds", "3 minutes", "2 hours", "5 days", "4 weeks", "7 months", "2 years": the largest unit
// that fits, rounded down. Less than a second, and what is negative, is "less than a second".
std::string HumanDuration(absl::Duration duration);
// "3 minutes ago"; "-" for the epoch, which is how the CRI says that something has not happened.
std::string HumanAge(absl::Time then, absl::Time now);
// "2026-12-01T05:30:00Z"; empty for the epoch.
std::string Rfc3339(absl::Time time);

// What stands after the colon of a digest, or the id itself, cut to kShortId.
std::string ShortId(const std::string& id);
// At most `limit` characters of UTF-8, the last of them an ellipsis if something is missing.
std::string Ellipsis(const std::string& text, size_t limit);

}  // namespace crisp::cli

#endif  // CRISP_CLI_FORMAT_HUMAN_H_
