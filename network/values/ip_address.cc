#include "network/values/ip_address.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace crisp::network {

absl::StatusOr<IpAddress> IpAddress::Parse(absl::string_view text) {
  IpAddress address;
  address.v6_ = text.find(':') != absl::string_view::npos;
  const std::string terminated(text);
  if (text.size() >= INET6_ADDRSTRLEN || text.find('\0') != absl::string_view::npos ||
      inet_pton(address.family(), terminated.c_str(), address.bytes_.data()) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", absl::CHexEscape(text.substr(0, 64)), "\" is not an IP address"));
  }
  return address;
}

absl::StatusOr<IpAddress> IpAddress::FromBytes(const void* bytes, size_t size) {
  if (size != 4 && size != 16) {
    return absl::InvalidArgumentError(absl::StrCat("an IP address has no ", size, " bytes"));
  }
  IpAddress address;
  address.v6_ = size == 16;
  std::memcpy(address.bytes_.data(), bytes, size);
  return address;
}

int IpAddress::family() const { return v6_ ? AF_INET6 : AF_INET; }

bool IpAddress::is_unspecified() const {
  return std::all_of(bytes_.begin(), bytes_.end(), [](uint8_t b) { return b == 0; });
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN];
  return inet_ntop(family(), bytes_.data(), text, sizeof(text));
}

IpAddress IpAddress::Plus(uint64_t offset) const {
  IpAddress sum = *this;
  unsigned carry = 0;
  for (size_t i = size(); i-- > 0 && (offset != 0 || carry != 0);) {
    const unsigned digit = sum.bytes_[i] + static_cast<uint8_t>(offset) + carry;
    sum.bytes_[i] = static_cast<uint8_t>(digit);
    carry = digit >> 8;
    offset >>= 8;
  }
  return sum;
}

IpAddress IpAddress::Masked(int length) const {
  IpAddress masked = *this;
  for (int bit = length; bit < bits(); ++bit) {
    masked.bytes_[static_cast<size_t>(bit / 8)] &= static_cast<uint8_t>(~(0x80u >> (bit % 8)));
  }
  return masked;
}

absl::StatusOr<IpPrefix> IpPrefix::Parse(absl::string_view text) {
  const size_t slash = text.find('/');
  const absl::Status malformed = absl::InvalidArgumentError(absl::StrCat(
      "\"", absl::CHexEscape(text.substr(0, 64)), "\" is not an IP network (address/length)"));
  if (slash == absl::string_view::npos) return malformed;
  absl::StatusOr<IpAddress> address = IpAddress::Parse(text.substr(0, slash));
  const absl::string_view digits = text.substr(slash + 1);
  int length = -1;
  if (!address.ok() || digits.empty() || digits.size() > 3 ||
      !std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(digits, &length) || length > address->bits()) {
    return malformed;
  }
  return IpPrefix{.address = address->Masked(length), .length = length};
}

bool IpPrefix::Contains(const IpAddress& other) const {
  return other.is_v6() == address.is_v6() && other.Masked(length) == address;
}

std::string IpPrefix::ToString() const { return absl::StrCat(address.ToString(), "/", length); }

absl::StatusOr<std::vector<IpPrefix>> ParsePrefixes(const std::vector<std::string>& texts) {
  std::vector<IpPrefix> prefixes;
  for (const std::string& text : texts) {
    CRISP_ASSIGN_OR_RETURN(IpPrefix prefix, IpPrefix::Parse(absl::StripAsciiWhitespace(text)));
    for (const IpPrefix& other : prefixes) {
      if (other.address.is_v6() == prefix.address.is_v6()) {
        return absl::InvalidArgumentError(absl::StrCat(
            "two networks of one family: ", other.ToString(), " and ", prefix.ToString()));
      }
    }
    prefixes.push_back(prefix);
  }
  if (prefixes.empty()) return absl::InvalidArgumentError("no pod network is given");
  return prefixes;
}

absl::StatusOr<std::vector<IpPrefix>> ParsePrefixList(absl::string_view text) {
  if (text.size() > 256) return absl::InvalidArgumentError("the list of pod networks is too long");
  return ParsePrefixes(absl::StrSplit(text, ','));
}

}  // namespace crisp::network
