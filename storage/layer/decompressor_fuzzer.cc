#include <algorithm>
#include <cstring>

#include "storage/layer/decompressor.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  size_t at = 0;
  auto source = [&](char* buffer, size_t room) -> absl::StatusOr<size_t> {
    const size_t n = std::min({room, size - at, size_t{777}});
    memcpy(buffer, data + at, n);
    at += n;
    return n;
  };
  (void)crisp::storage::Decompress(source, [](absl::string_view) { return absl::OkStatus(); },
                                   {.max_output = 8 << 20});
  return 0;
}
