#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "base/json.h"
#include "runtime/oci/oci_spec.h"
#include "runtime/plan/plan_builder.h"

// Any document is either refused or survives a round trip, and planning it does not crash.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::runtime;
  auto json = crisp::ParseJson({reinterpret_cast<const char*>(data), size});
  if (!json.ok()) return 0;
  auto spec = OciSpecFromJson(*json);
  if (!spec.ok()) return 0;
  auto again = OciSpecFromJson(ToJson(*spec));
  if (!again.ok() || !(*again == *spec)) abort();
  (void)BuildContainerPlan(*spec, {.container_id = "c", .lower_dirs = {"/l"}});
  return 0;
}
