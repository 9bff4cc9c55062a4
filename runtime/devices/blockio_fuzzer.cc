#include <cstddef>
#include <cstdint>

#include "runtime/cgroup/cgroup_resources.h"
#include "runtime/devices/blockio_classes.h"

// Any file is refused or gives classes that can be resolved and written.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::runtime;
  auto classes = ParseBlockIoClasses({reinterpret_cast<const char*>(data), size});
  if (!classes.ok()) return 0;
  for (const auto& [name, rules] : *classes) {
    auto io = ResolveBlockIo(rules, [](const std::string&) {
      return std::vector<DeviceNumber>{{8, 0}};
    });
    if (!io.ok()) __builtin_trap();
    OciResources resources;
    resources.block_io = *io;
    (void)CgroupWrites(resources, true);
    (void)CgroupWrites(resources, false);
  }
  return 0;
}
