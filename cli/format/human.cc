#include "cli/format/human.h"

#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace crisp::cli {

std::string HumanBytes(uint64_t bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(units); ++unit) value /= 1024;
  return absl::StrFormat(unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

std::string HumanDuration(absl::Duration duration) {
  constexpr absl::Duration kDay = absl::Hours(24);
  const struct {
    absl::Duration length;
    const char* name;
  } units[] = {{365 * kDay, "year"},        {30 * kDay, "month"},
               {7 * kDay, "week"},          {kDay, "day"},
               {absl::Hours(1), "hour"},    {absl::Minutes(1), "minute"},
               {absl::Seconds(1), "second"}};
  for (const auto& unit : units) {
    const int64_t count = duration / unit.length;
    if (count > 0) return absl::StrCat(count, " ", unit.name, count == 1 ? "" : "s");
  }
  return "less than a second";
}

std::string HumanAge(absl::Time then, absl::Time now) {
  if (then == absl::UnixEpoch()) return "-";
  return HumanDuration(now - then) + " ago";
}

std::string Rfc3339(absl::Time time) {
  if (time == absl::UnixEpoch()) return "";
  return absl::FormatTime("%Y-%m-%d%ET%H:%M:%SZ", time, absl::UTCTimeZone());
}

std::string ShortId(const std::string& id) {
  const size_t colon = id.find(':');
  return id.substr(colon == std::string::npos ? 0 : colon + 1, kShortId);
}

std::string Ellipsis(const std::string& text, size_t limit) {
  size_t characters = 0, end = 0;  // `end` is where the last but one of the limit ends
  for (size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) == 0x80) continue;
    if (++characters == limit) end = i;
    if (characters > limit) return absl::StrCat(text.substr(0, end), "…");
  }
  return text;
}

}  // namespace crisp::cli
