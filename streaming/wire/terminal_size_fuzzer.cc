#include "streaming/wire/outcome.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  crisp::streaming::TerminalSizeReader reader;
  const char* bytes = reinterpret_cast<const char*>(data);
  const size_t half = size / 2;
  (void)reader.Feed(absl::string_view(bytes, half));
  (void)reader.Feed(absl::string_view(bytes + half, size - half));
  return 0;
}
