#include <cstdlib>

#include "network/values/ip_address.h"

// A text that parses must print as a text that parses to the same value.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using crisp::network::IpAddress;
  using crisp::network::IpPrefix;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto address = IpAddress::Parse(text); address.ok()) {
    if (*IpAddress::Parse(address->ToString()) != *address) abort();
  }
  if (auto prefix = IpPrefix::Parse(text); prefix.ok()) {
    if (*IpPrefix::Parse(prefix->ToString()) != *prefix) abort();
    if (!prefix->Contains(prefix->address)) abort();
  }
  (void)crisp::network::ParsePrefixList(text);
  return 0;
}
