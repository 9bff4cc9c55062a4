#include "network/values/bandwidth.h"

#include <limits>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "network/values/attach.h"

namespace crisp::network {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr Wide kMax = static_cast<Wide>(std::numeric_limits<int64_t>::max());

// digits × 10^exponent × 2^shift
struct Number {
  uint64_t digits = 0;
  int exponent = 0;
  int shift = 0;
};

// The leading number; its text is removed from `text`. nullopt without any digit, or with more
// digits than matter to anyone.
std::optional<Number> ReadNumber(absl::string_view& text) {
  Number number;
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  size_t seen = 0;
  bool point = false;
  for (; !text.empty(); text.remove_prefix(1)) {
    if (text.front() == '.' && !point) {
      point = true;
    } else if (absl::ascii_isdigit(static_cast<unsigned char>(text.front()))) {
      if (++seen > 18) return std::nullopt;
      number.digits = number.digits * 10 + static_cast<uint64_t>(text.front() - '0');
      if (point) --number.exponent;
    } else {
      break;
    }
  }
  if (seen == 0) return std::nullopt;
  return number;
}

bool ReadSuffix(absl::string_view suffix, Number& number) {
  if (suffix.empty()) return true;
  constexpr absl::string_view kBinary = "KMGTPE";
  constexpr absl::string_view kDecimal = "kMGTPE";
  if (suffix.size() == 2 && suffix[1] == 'i') {
    const size_t power = kBinary.find(suffix[0]);
    number.shift = 10 * (static_cast<int>(power) + 1);
    return power != absl::string_view::npos;
  }
  if (suffix.size() == 1) {
    constexpr absl::string_view kSmall = "mun";
    if (const size_t power = kDecimal.find(suffix[0]); power != absl::string_view::npos) {
      number.exponent += 3 * (static_cast<int>(power) + 1);
      return true;
    }
    const size_t power = kSmall.find(suffix[0]);
    number.exponent -= 3 * (static_cast<int>(power) + 1);
    return power != absl::string_view::npos;
  }
  int exponent = 0;
  if ((suffix[0] != 'e' && suffix[0] != 'E') || suffix.size() > 4 ||
      !absl::SimpleAtoi(suffix.substr(1), &exponent) || absl::ascii_isspace(suffix[1]) ||
      absl::ascii_isspace(suffix.back())) {
    return false;
  }
  number.exponent += exponent;
  return true;
}

// nullopt when it does not fit 63 bits.
std::optional<uint64_t> Evaluate(const Number& number) {
  Wide value = static_cast<Wide>(number.digits) << number.shift;
  for (int i = 0; i < number.exponent && value != 0; ++i) {
    value *= 10;
    if (value > kMax) return std::nullopt;
  }
  bool inexact = false;
  for (int i = 0; i > number.exponent && value != 0; --i) {
    inexact |= value % 10 != 0;
    value /= 10;
  }
  if (inexact) ++value;
  if (value > kMax) return std::nullopt;
  return static_cast<uint64_t>(value);
}

absl::StatusOr<uint64_t> Annotation(const std::map<std::string, std::string>& annotations,
                                    const char* key) {
  const auto it = annotations.find(key);
  if (it == annotations.end()) return 0;
  absl::StatusOr<uint64_t> rate = ParseQuantity(it->second);
  if (!rate.ok()) return Annotate(rate.status(), absl::StrCat("annotation ", key));
  if (*rate < 1'000 || *rate > 1'000'000'000'000'000) {
    return absl::InvalidArgumentError(
        absl::StrCat("annotation ", key, ": ", *rate, " bit/s is outside 1k to 1P"));
  }
  return rate;
}

}  // namespace

absl::StatusOr<uint64_t> ParseQuantity(absl::string_view text) {
  absl::string_view rest = text;
  std::optional<Number> number = ReadNumber(rest);
  std::optional<uint64_t> value;
  if (number && ReadSuffix(rest, *number)) value = Evaluate(*number);
  if (!value) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", absl::CHexEscape(text.substr(0, 64)), "\" is not a quantity"));
  }
  return *value;
}

absl::StatusOr<Bandwidth> BandwidthOf(const std::map<std::string, std::string>& annotations) {
  Bandwidth bandwidth;
  CRISP_ASSIGN_OR_RETURN(bandwidth.ingress, Annotation(annotations, kIngressBandwidth));
  CRISP_ASSIGN_OR_RETURN(bandwidth.egress, Annotation(annotations, kEgressBandwidth));
  return bandwidth;
}

}  // namespace crisp::network
