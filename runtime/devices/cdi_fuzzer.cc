#include <cstddef>
#include <cstdint>

#include "runtime/devices/cdi_spec.h"

// Any file is refused or gives edits that can be applied or refused; device names likewise.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::runtime;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  (void)ParseCdiDeviceName(text);
  auto cdi = ParseCdiSpec(text);
  if (!cdi.ok()) return 0;
  for (const auto& [name, edits] : cdi->devices) {
    if (!ParseCdiDeviceName(cdi->kind + "=" + name).ok()) __builtin_trap();
    OciSpec spec;
    std::map<std::string, std::string> sources;
    (void)ApplyCdiEdits(edits, spec, sources);
  }
  return 0;
}
