// Parses WebSocket channel messages in each of the protocols, and formats back what it got.

#include <cstdint>
#include <cstdlib>

#include "streaming/wire/channel_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::streaming;
  absl::string_view message(reinterpret_cast<const char*>(data), size);
  for (bool base64 : {false, true}) {
    auto parsed = ParseChannelMessage(message, base64, !base64);
    if (!parsed.ok() || parsed->close || (base64 && parsed->channel >= 200)) continue;
    std::string again = FormatChannelMessage(parsed->channel, parsed->data, base64);
    auto twice = ParseChannelMessage(again, base64, !base64);
    if (!twice.ok() || twice->channel != parsed->channel || twice->data != parsed->data) abort();
  }
  return 0;
}
