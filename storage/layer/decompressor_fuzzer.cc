#include "storage/layer/decompressor.h"
#include "storage/layer/testing/byte_source.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)crisp::storage::Decompress(crisp::storage::FromBytes(bytes, 777),
                                   [](absl::string_view) { return absl::OkStatus(); },
                                   {.max_output = 8 << 20});
  return 0;
}
