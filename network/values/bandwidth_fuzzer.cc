#include <cstdlib>
#include <string>

#include "network/values/bandwidth.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  auto value = crisp::network::ParseQuantity(text);
  if (value.ok() && *value > uint64_t{1} << 63) abort();
  (void)crisp::network::BandwidthOf({{"kubernetes.io/egress-bandwidth", text}});
  return 0;
}
