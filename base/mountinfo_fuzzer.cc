#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "base/mountinfo.h"

// What the kernel tells of mounts whose names anybody chose.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view table(reinterpret_cast<const char*>(data), size);
  size_t length = 0;
  crisp::ForEachMount(table, [&](const crisp::MountEntry& entry) {
    length += entry.root.size() + entry.mount_point.size() + entry.source.size() +
              entry.type.size() + entry.super_options.size();
  });
  if (length > size) abort();
  return 0;
}
