#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <vector>

#include "runtime/plan/launch_plan.h"
#include "runtime/wire/lower_text.h"
#include "runtime/wire/plan_schema.h"

namespace {

absl::StatusOr<std::string> Encode(const crisp::runtime::ContainerPlan& plan, uint16_t version) {
  static const std::vector<int> mounts = [] {
    std::vector<int> numbers(crisp::runtime::kMaxLowerFd + 1);
    std::iota(numbers.begin(), numbers.end(), 0);
    return numbers;
  }();
  return EncodePlan(plan, version, mounts);
}

template <class Plan>
absl::StatusOr<std::string> Encode(const Plan& plan, uint16_t version) {
  return EncodePlan(plan, version);
}

template <class Plan>
void Check(const absl::StatusOr<Plan>& plan, absl::string_view bytes) {
  if (!plan.ok()) return;
  crisp::runtime::PlanHeader header;
  memcpy(&header, bytes.data(), sizeof(header));
  const absl::StatusOr<std::string> again = Encode(*plan, header.version);
  if (!again.ok() || *again != bytes) abort();
}

}  // namespace

// Any bytes are either refused or decode to a plan that encodes, for the same version, to the very
// same bytes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::runtime;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  Check(DecodeContainerPlan(bytes), bytes);
  Check(DecodePodPlan(bytes), bytes);
  Check(DecodeExecPlan(bytes), bytes);
  return 0;
}
