#include "base/id.h"

#include <sys/random.h>

#include <cstdlib>

#include "absl/strings/escaping.h"

namespace crisp {

std::string GenerateId() {
  char bytes[32];
  // Reads of up to 256 bytes are never short once the pool is seeded (getrandom(2)).
  if (getrandom(bytes, sizeof(bytes), 0) != static_cast<ssize_t>(sizeof(bytes))) abort();
  return absl::BytesToHexString(absl::string_view(bytes, sizeof(bytes)));
}

bool IsIdPrefix(absl::string_view id) {
  if (id.empty() || id.size() > 64) return false;
  for (const char c : id) {
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
  }
  return true;
}

}  // namespace crisp
