#include <cstdlib>
#include <cstring>
#include <vector>

#include "network/link/links.h"
#include "network/link/netlink.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // The kernel's datagrams are aligned; a fuzzer's need not be.
  std::vector<uint32_t> aligned((size + 3) / 4);
  if (size > 0) std::memcpy(aligned.data(), data, size);
  size_t text_bytes = 0;
  (void)crisp::network::ParseReplies(
      reinterpret_cast<const char*>(aligned.data()), size,
      [&](const nlmsghdr* message) {
        if (auto link = crisp::network::ParseLink(message)) text_bytes += link->name.size();
      },
      [&](uint32_t, int error, absl::string_view text) {
        if (error < 0) abort();
        text_bytes += text.size();
      });
  if (text_bytes > size * 2) abort();
  return 0;
}
