#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "runtime/oci/user_lookup.h"

// The first line is the USER of the image, the rest both files. Whatever is resolved is an id that
// the kernel takes, and a number is itself.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::runtime;
  const std::string input(reinterpret_cast<const char*>(data), size);
  const size_t line = input.find('\n');
  const std::string user = input.substr(0, line);
  AccountFiles files;
  if (line != std::string::npos)
    files = {.passwd = input.substr(line), .group = input.substr(line)};
  auto resolved = ResolveUser({.image_user = user}, files);
  if (resolved.ok() && (resolved->uid > kMaxId || resolved->gid > kMaxId)) abort();
  if (LooksNumeric(user) && resolved.ok() && resolved->uid != ParseId(user)) abort();
  return 0;
}
