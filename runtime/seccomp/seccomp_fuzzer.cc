#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "runtime/seccomp/seccomp_filter.h"
#include "runtime/seccomp/seccomp_profile.h"

// A profile is refused or compiles to a filter of whole instructions, or is refused then.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::runtime;
  auto profile = ParseSeccompProfile({reinterpret_cast<const char*>(data), size},
                                     {.architecture = "amd64", .kernel = {6, 1}});
  if (!profile.ok()) return 0;
  auto filter = CompileSeccomp(*profile);
  if (filter.ok() && (filter->bpf.empty() || filter->bpf.size() % 8 != 0)) abort();
  return 0;
}
