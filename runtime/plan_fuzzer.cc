#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "runtime/launch_plan.h"

// Any bytes are either refused or decode to a plan that encodes to the very same bytes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::runtime;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (auto plan = DecodeContainerPlan(bytes); plan.ok() && EncodePlan(*plan) != bytes) abort();
  if (auto plan = DecodePodPlan(bytes); plan.ok() && EncodePlan(*plan) != bytes) abort();
  if (auto plan = DecodeExecPlan(bytes); plan.ok() && EncodePlan(*plan) != bytes) abort();
  return 0;
}
