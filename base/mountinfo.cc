#include "base/mountinfo.h"

#include <cstddef>
#include <optional>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace crisp {
namespace {

// The table writes space, tab, newline and backslash as \ooo.
std::string Unescape(absl::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  const auto octal = [&](size_t at) {
    return at < text.size() && text[at] >= '0' && text[at] <= '7';
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && octal(i + 1) && octal(i + 2) && octal(i + 3)) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

// "id parent device root mount-point options [optional…] - type source super-options"
std::optional<MountEntry> ParseLine(absl::string_view line) {
  constexpr size_t kOptional = 6;
  const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
  size_t dash = kOptional;
  while (dash < fields.size() && fields[dash] != "-") ++dash;
  // A source may be empty, and so the field before the last one.
  if (dash + 3 >= fields.size()) return std::nullopt;
  MountEntry entry{.root = Unescape(fields[3]),
                   .mount_point = Unescape(fields[4]),
                   .type = fields[dash + 1],
                   .source = Unescape(fields[dash + 2]),
                   .super_options = fields[dash + 3]};
  for (size_t i = kOptional; i < dash; ++i) {
    entry.shared |= absl::StartsWith(fields[i], "shared:");
    entry.slave |= absl::StartsWith(fields[i], "master:");
  }
  return entry;
}

}  // namespace

void ForEachMount(absl::string_view table, absl::FunctionRef<void(const MountEntry&)> seen) {
  for (const absl::string_view line : absl::StrSplit(table, '\n')) {
    if (const std::optional<MountEntry> entry = ParseLine(line)) seen(*entry);
  }
}

}  // namespace crisp
