#include <cstdlib>

#include "network/cni/cni_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::network;  // NOLINT(google-build-using-namespace)
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto config = ParseCniConfig(text); config.ok()) {
    for (const CniPlugin& plugin : config->plugins) {
      if (plugin.type.find('/') != std::string::npos) abort();
      (void)CniInput(*config, plugin, {{"dns", 1}}, nullptr);
    }
  }
  if (const auto result = ParseCniResult(text, "eth0"); result.ok()) {
    if (result->addresses.size() > 64) abort();
  }
  (void)CniErrorText(text, text);
  return 0;
}
