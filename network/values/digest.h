#ifndef CRISP_NETWORK_VALUES_DIGEST_H_
#define CRISP_NETWORK_VALUES_DIGEST_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace crisp::network {

// FNV-1a. It is the same in every process and version, as names in the kernel must be. Not for
// secrets.
constexpr uint64_t Digest64(absl::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : bytes) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3;
  }
  return hash;
}

}  // namespace crisp::network

#endif  // CRISP_NETWORK_VALUES_DIGEST_H_
