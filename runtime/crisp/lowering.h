#ifndef CRISP_RUNTIME_CRISP_LOWERING_H_
#define CRISP_RUNTIME_CRISP_LOWERING_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/handler/pod_handle.h"
#include "runtime/plan/launch_plan.h"
#include "runtime/seccomp/seccomp_filter.h"

namespace crisp::runtime {

// Turns the containers and execs that a handler is given into plans for the shim. Pure, but for the
// cache of filters.

struct CrispExecBase final : ExecBase {
  ProcessPlan process;                           // without argv
  std::shared_ptr<const SeccompFilter> seccomp;  // null: no filter
};

class Lowering {
 public:
  // `empty_layer`: an empty directory where the layers are, see ContainerInputs. `capabilities`:
  // those that can be given; others are left out.
  Lowering(std::shared_ptr<const CgroupLayout> cgroups,
           std::string empty_layer,
           uint64_t capabilities)
      : cgroups_(std::move(cgroups)),
        empty_layer_(std::move(empty_layer)),
        capabilities_(capabilities) {}

  Cgroup GroupAt(const std::string& path) const { return {cgroups_, path}; }
  // Compiles the filter that most containers have.
  void WarmUp() { seccomp_.Warm(); }

  absl::StatusOr<std::shared_ptr<const CrispExecBase>> MakeExecBase(const OciSpec& spec);
  // `base`: of its spec.
  absl::StatusOr<ContainerPlan> ToPlan(const NewContainer& container,
                                       const CrispExecBase& base) const;
  absl::StatusOr<ExecPlan> ToPlan(const NewExec& exec) const;

 private:
  const std::shared_ptr<const CgroupLayout> cgroups_;
  const std::string empty_layer_;
  const uint64_t capabilities_;
  SeccompCache seccomp_;
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CRISP_LOWERING_H_
