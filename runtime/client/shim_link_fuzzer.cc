#include <cstddef>
#include <cstdint>

#include "runtime/client/shim_link.h"

// Whatever a shim may say is refused or parsed; nothing is read outside the message.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::runtime;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)ParseExitEvent(bytes);
  const auto reply = ParseReply(bytes);
  if (!reply.ok()) return 0;
  (void)ParseHello(reply->rest);
  (void)ParseStart(reply->rest);
  (void)ParseReport(reply->rest);
  return 0;
}
