#include "runtime/lsm/selinux_context.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status.h"

namespace crisp::runtime {
namespace {

constexpr size_t kMaxPart =
    1024;  // a level with many categories is long; a page is the kernel's limit

bool IsPart(absl::string_view text, bool level) {
  return text.size() <= kMaxPart && std::all_of(text.begin(), text.end(), [level](unsigned char c) {
           return absl::ascii_isgraph(c) && c != '"' && (level || c != ':');
         });
}

absl::Status Take(absl::string_view name, const std::string& wanted, std::string& part) {
  if (wanted.empty()) return absl::OkStatus();
  if (!IsPart(wanted, name == "level")) {
    return absl::InvalidArgumentError(
        absl::StrCat("selinux_options.", name, ": \"", wanted, "\" cannot be in a context"));
  }
  part = wanted;
  return absl::OkStatus();
}

// `key = "value"`, the quotes being there or not.
absl::Status ReadLine(absl::string_view line, SelinuxDefaults& defaults) {
  const std::pair<absl::string_view, absl::string_view> halves =
      absl::StrSplit(line, absl::MaxSplits('=', 1));
  const absl::string_view key = absl::StripAsciiWhitespace(halves.first);
  SelinuxContext* const target = key == "process" ? &defaults.process
                                 : key == "file"  ? &defaults.file
                                                  : nullptr;
  if (target == nullptr) return absl::OkStatus();
  absl::string_view value = absl::StripAsciiWhitespace(halves.second);
  if (absl::ConsumePrefix(&value, "\"")) absl::ConsumeSuffix(&value, "\"");
  CRISP_ASSIGN_OR_RETURN(*target, ParseSelinuxContext(value));
  return absl::OkStatus();
}

SelinuxContext AsUnconfined(SelinuxContext process) {
  process.type = "spc_t";
  return process;
}

}  // namespace

std::string SelinuxContext::ToString() const {
  if (type.empty()) return "";
  return absl::StrCat(user, ":", role, ":", type, level.empty() ? "" : ":", level);
}

absl::StatusOr<SelinuxContext> ParseSelinuxContext(absl::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits(':', 3));
  if (parts.size() < 3) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not USER:ROLE:TYPE[:LEVEL]"));
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    if (!parts[i].empty() && IsPart(parts[i], i == 3)) continue;
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not USER:ROLE:TYPE[:LEVEL]"));
  }
  return SelinuxContext{parts[0], parts[1], parts[2], parts.size() > 3 ? parts[3] : ""};
}

SelinuxDefaults StandardSelinuxDefaults() {
  const SelinuxContext process{"system_u", "system_r", "container_t", "s0"};
  return {.process = process,
          .file = {"system_u", "object_r", "container_file_t", "s0"},
          .unconfined = AsUnconfined(process)};
}

absl::StatusOr<SelinuxDefaults> ParseLxcContexts(absl::string_view text) {
  SelinuxDefaults defaults = StandardSelinuxDefaults();
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    const absl::Status read = ReadLine(line, defaults);
    if (!read.ok()) return Annotate(read, absl::StrCat("line ", number));
  }
  defaults.unconfined = AsUnconfined(defaults.process);
  return defaults;
}

absl::StatusOr<SelinuxLabels> MakeSelinuxLabels(const SelinuxDefaults& defaults,
                                                const SelinuxRequest& request,
                                                absl::string_view level) {
  const SelinuxContext& options = request.options;
  SelinuxContext process =
      request.unconfined && options.type.empty() ? defaults.unconfined : defaults.process;
  SelinuxContext file = defaults.file;
  file.level = std::string(level);
  CRISP_RETURN_IF_ERROR(Take("user", options.user, process.user));
  CRISP_RETURN_IF_ERROR(Take("role", options.role, process.role));
  CRISP_RETURN_IF_ERROR(Take("type", options.type, process.type));
  CRISP_RETURN_IF_ERROR(Take("level", options.level, file.level));
  const bool confined = !process.type.empty() && !IsUnconfinedSelinuxType(process.type);
  // Nothing is kept from an unconfined process by its lack of categories.
  if (confined || !options.level.empty()) process.level = file.level;
  // A container that names its user has files of that user.
  if (!options.user.empty()) file.user = options.user;
  return SelinuxLabels{process.ToString(), file.ToString(), confined};
}

bool IsUnconfinedSelinuxType(absl::string_view type) {
  return type == "spc_t" || type == "unconfined_t";
}

}  // namespace crisp::runtime
