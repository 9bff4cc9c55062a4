// Feeds bytes to the SPDY decoder in pieces of varying size: nothing may crash, loop for ever, or
// give out more than came in.

#include <cstdint>
#include <cstdlib>

#include "streaming/wire/spdy_frame.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::streaming;
  absl::string_view rest(reinterpret_cast<const char*>(data), size);
  SpdyDecoder decoder;
  SpdyFrame frame;
  size_t given = 0;
  // The first byte says how the input is cut; the rest may start with a valid block.
  size_t step = rest.empty() ? 1 : static_cast<uint8_t>(rest[0]) % 61 + 1;
  if (!rest.empty()) rest.remove_prefix(1);
  if (step % 2 == 0) {
    SpdyEncoder encoder;
    std::string head;
    encoder.AppendHeaders(SpdyType::kSynStream, 1, false, {{"streamtype", "error"}}, head);
    decoder.Feed(head);
  }
  while (true) {
    absl::StatusOr<bool> got = decoder.Next(frame);
    if (!got.ok()) return 0;
    if (*got) {
      given += frame.data.size();
      if (given > size || frame.headers.size() > SpdyDecoder::kMaxHeaders) abort();
      continue;
    }
    if (rest.empty()) return 0;
    decoder.Feed(rest.substr(0, step));
    rest.remove_prefix(std::min(step, rest.size()));
  }
}
