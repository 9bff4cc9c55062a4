#include "base/host_port.h"

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace crisp {

absl::StatusOr<HostPort> HostPort::Parse(absl::string_view text) {
  const size_t colon = text.rfind(':');
  const absl::Status malformed =
      absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not HOST:PORT"));
  if (colon == absl::string_view::npos || colon == 0) return malformed;
  HostPort result{.host = std::string(text.substr(0, colon))};
  const absl::string_view digits = text.substr(colon + 1);
  // SimpleAtoi() also takes signs and spaces.
  if (digits.empty() || digits.find_first_not_of("0123456789") != absl::string_view::npos ||
      !absl::SimpleAtoi(digits, &result.port) || result.port > 65535) {
    return malformed;
  }
  const bool bracketed =
      result.host.front() == '[' && result.host.back() == ']' && result.host.size() > 2;
  if (bracketed ? result.host.find_first_of("[]", 1) != result.host.size() - 1
                : result.host.find_first_of(":[] \t\n/") != std::string::npos) {
    return malformed;
  }
  return result;
}

std::string HostPort::BareHost() const {
  absl::string_view bare = host;
  if (absl::ConsumePrefix(&bare, "[")) absl::ConsumeSuffix(&bare, "]");
  return std::string(bare);
}

}  // namespace crisp
