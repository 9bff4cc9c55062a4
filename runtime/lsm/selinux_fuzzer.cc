#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "runtime/lsm/mcs_pool.h"
#include "runtime/lsm/selinux.h"
#include "runtime/lsm/selinux_context.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::runtime;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  (void)ParseLxcContexts(text);
  (void)IsSystemPath(text);
  if (const auto context = ParseSelinuxContext(text); context.ok()) {
    // A context that was taken apart must print as it was.
    if (context->ToString() != text) __builtin_trap();
    const auto labels = MakeSelinuxLabels(StandardSelinuxDefaults(), {.options = *context}, "s0");
    if (!labels.ok() || (!context->level.empty() && labels->process != text)) __builtin_trap();
  }
  McsPool pool(4);
  pool.Reserve(text);
  pool.Release(text);
  if (pool.taken() != 0) __builtin_trap();
  return 0;
}
