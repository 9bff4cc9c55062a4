#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "absl/time/clock.h"
#include "storage/registry/registry_auth.h"

// Whatever a registry or a token server says: bounded results, no crash.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto challenges = crisp::storage::ParseWwwAuthenticate(text);
  if (challenges.size() > 16) std::abort();
  for (const auto& challenge : challenges) {
    if (challenge.scheme.empty() || challenge.parameters.size() > 32) std::abort();
  }
  const auto token = crisp::storage::ParseTokenReply(text, absl::UnixEpoch());
  if (token.ok() && token->value.find_first_of("\r\n ") != std::string::npos) std::abort();
  return 0;
}
