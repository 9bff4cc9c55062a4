#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/match.h"
#include "storage/registry/hosts_config.h"

// Any text: no crash, and every host that comes out can be put into a URL.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto hosts =
      crisp::storage::ParseHostsToml(absl::string_view(reinterpret_cast<const char*>(data), size),
                                     "hosts.toml", "/c", "r.example", false);
  if (!hosts.ok()) return 0;
  if (hosts->empty()) std::abort();
  for (const auto& host : *hosts) {
    if (host.host.empty() || host.host.find_first_of("/@?# \r\n") != std::string::npos)
      std::abort();
    for (const auto& [name, value] : host.headers) {
      if (absl::StrContains(name + value, "\n")) std::abort();
    }
  }
  return 0;
}
