#include "runtime/handler/processes.h"

#include <poll.h>

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/status.h"

namespace crisp::runtime {

absl::StatusOr<ExitRecord> ReadExitRecord(const std::string& path) {
  CRISP_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 4096));
  const std::vector<absl::string_view> words =
      absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  ExitRecord record;
  int64_t at = 0;
  int truncated = 0;
  if (words.size() != 6 || words[0] != "crisp-exit" || words[1] != "1" ||
      !absl::SimpleAtoi(words[2], &record.exit_code) ||
      !absl::SimpleAtoi(words[3], &record.signal) || !absl::SimpleAtoi(words[4], &at) ||
      !absl::SimpleAtoi(words[5], &truncated)) {
    return absl::DataLossError(absl::StrCat("malformed exit record ", path));
  }
  record.exited_at = absl::FromUnixNanos(at);
  record.log_truncated = truncated != 0;
  return record;
}

bool FoundPod::HasEnded() const {
  pollfd poll_fd = {.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  return poll(&poll_fd, 1, 0) > 0;
}

}  // namespace crisp::runtime
