#include "storage/image/image_archive.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)crisp::storage::ParseDockerManifest({reinterpret_cast<const char*>(data), size});
  return 0;
}
