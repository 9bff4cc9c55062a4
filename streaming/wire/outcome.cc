#include "streaming/wire/outcome.h"

#include "absl/strings/str_cat.h"
#include "base/json.h"

namespace crisp::streaming {
namespace {

constexpr size_t kMostOfASize = 1024;

std::string ErrorText(const Outcome& outcome) {
  if (!outcome.status.ok()) return std::string(outcome.status.message());
  return absl::StrCat("command terminated with non-zero exit code: ", outcome.exit_code);
}

std::optional<TerminalSize> ParseSize(absl::string_view text) {
  const absl::StatusOr<Json> json = ParseJson(text);
  if (!json.ok() || !json->is_object()) return std::nullopt;
  const absl::StatusOr<int64_t> width = JsonInt(*json, "Width"), height = JsonInt(*json, "Height");
  if (!width.ok() || !height.ok() || *width < 1 || *width > UINT16_MAX || *height < 1 ||
      *height > UINT16_MAX) {
    return std::nullopt;
  }
  return TerminalSize{.columns = static_cast<uint16_t>(*width),
                      .rows = static_cast<uint16_t>(*height)};
}

}  // namespace

std::string OutcomeMessage(const Outcome& outcome, bool json) {
  const bool good = outcome.status.ok() && outcome.exit_code == 0;
  if (!json) return good ? "" : ErrorText(outcome);
  Json status = {{"metadata", Json::object()}, {"status", good ? "Success" : "Failure"}};
  if (!good) {
    status["message"] = ErrorText(outcome);
    Json cause = {{"message", ErrorText(outcome)}};
    if (outcome.status.ok()) {
      status["reason"] = "NonZeroExitCode";
      cause = {{"reason", "ExitCode"}, {"message", absl::StrCat(outcome.exit_code)}};
    } else {
      status["reason"] = "InternalError";
      status["code"] = 500;
    }
    status["details"] = {{"causes", Json::array({cause})}};
  }
  return DumpJson(status);
}

std::optional<TerminalSize> TerminalSizeReader::Feed(absl::string_view bytes) {
  std::optional<TerminalSize> last;
  while (!bytes.empty()) {
    // The objects hold numbers only, so a brace always ends one.
    const size_t end = bytes.find('}');
    const absl::string_view part = bytes.substr(0, end == bytes.npos ? end : end + 1);
    bytes.remove_prefix(part.size());
    if (pending_.size() + part.size() > kMostOfASize) {
      pending_.clear();
      continue;
    }
    pending_.append(part.data(), part.size());
    if (end == absl::string_view::npos) break;
    if (const std::optional<TerminalSize> size = ParseSize(pending_)) last = size;
    pending_.clear();
  }
  return last;
}

}  // namespace crisp::streaming
