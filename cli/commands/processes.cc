#include "cli/commands/processes.h"

#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/status.h"

namespace crisp::cli {
namespace {

// Counted behind the command's name in brackets, which may have spaces and brackets of its own.
enum StatField {
  kState = 0,
  kParent = 1,
  kUserTicks = 11,
  kSystemTicks = 12,
  kStartTicks = 19,
  kRssPages = 21
};

absl::Duration Ticks(int64_t count, int64_t ticks) {
  return absl::Seconds(1) * (static_cast<double>(count) / static_cast<double>(ticks));
}

// "Uid:\t0\t1\t0\t0": the second is the effective one.
bool ParseUid(const std::string& status, uint32_t* uid) {
  for (const absl::string_view line : absl::StrSplit(status, '\n')) {
    if (!absl::StartsWith(line, "Uid:")) continue;
    const std::vector<absl::string_view> words = absl::StrSplit(line, '\t');
    return words.size() > 2 && absl::SimpleAtoi(words[2], uid);
  }
  return false;
}

}  // namespace

absl::StatusOr<NodeProcess> ParseProcess(const std::string& stat,
                                         const std::string& status,
                                         const std::string& cmdline,
                                         int64_t ticks,
                                         uint64_t page) {
  const absl::Status malformed = absl::InvalidArgumentError("/proc has another form than expected");
  const size_t open = stat.find('('), close = stat.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close + 2 > stat.size()) {
    return malformed;
  }
  const std::vector<std::string> fields =
      absl::StrSplit(stat.substr(close + 2), absl::ByAnyChar(" \n"), absl::SkipEmpty());
  NodeProcess process;
  int64_t user = 0, system = 0, start = 0, pages = 0;
  if (fields.size() <= kRssPages || !absl::SimpleAtoi(stat.substr(0, open), &process.pid) ||
      !absl::SimpleAtoi(fields[kParent], &process.parent) ||
      !absl::SimpleAtoi(fields[kUserTicks], &user) ||
      !absl::SimpleAtoi(fields[kSystemTicks], &system) ||
      !absl::SimpleAtoi(fields[kStartTicks], &start) ||
      !absl::SimpleAtoi(fields[kRssPages], &pages) || !ParseUid(status, &process.uid)) {
    return malformed;
  }
  process.state = fields[kState][0];
  process.cpu_time = Ticks(user + system, ticks);
  process.started = Ticks(start, ticks);
  process.rss_bytes = static_cast<uint64_t>(std::max<int64_t>(pages, 0)) * page;
  process.command = cmdline;
  while (!process.command.empty() && process.command.back() == '\0') process.command.pop_back();
  std::replace(process.command.begin(), process.command.end(), '\0', ' ');
  if (process.command.empty()) {
    process.command = absl::StrCat("[", stat.substr(open + 1, close - open - 1), "]");
  }
  return process;
}

absl::StatusOr<NodeProcess> ReadProcess(const std::string& proc, int64_t pid) {
  const std::string folder = absl::StrCat(proc, "/", pid, "/");
  CRISP_ASSIGN_OR_RETURN(const std::string stat, ReadFile(folder + "stat"));
  CRISP_ASSIGN_OR_RETURN(const std::string status, ReadFile(folder + "status"));
  CRISP_ASSIGN_OR_RETURN(const std::string cmdline, ReadFile(folder + "cmdline"));
  return ParseProcess(stat, status, cmdline, sysconf(_SC_CLK_TCK),
                      static_cast<uint64_t>(sysconf(_SC_PAGESIZE)));
}

}  // namespace crisp::cli
