#include "runtime/crisp/crisp_runtime.h"

#include <utility>

#include "base/status.h"
#include "runtime/crisp/crisp_pod.h"
#include "runtime/oci/capabilities.h"
#include "runtime/plan/plan_builder.h"

namespace crisp::runtime {

CrispRuntime::CrispRuntime(const CrispRuntimeOptions& options, PodObserver* observer)
    : PodRuntime(kCrispType),
      observer_(observer),
      features_{.verbs = VerbSet::All(),
                .recursive_read_only_mounts = options.recursive_read_only_mounts,
                .no_user_namespaces = options.no_user_namespaces},
      lowering_(
          std::make_shared<Lowering>(options.cgroups, options.empty_layer, DaemonCapabilities())) {}

absl::StatusOr<std::unique_ptr<CrispRuntime>> CrispRuntime::Create(
    const CrispRuntimeOptions& options, PodObserver* observer) {
  std::unique_ptr<CrispRuntime> runtime(new CrispRuntime(options, observer));
  ShimPoolOptions shims = options.shims;
  CRISP_ASSIGN_OR_RETURN(shims.usual, BuildPodPlan(options.usual_pod));
  CRISP_ASSIGN_OR_RETURN(runtime->pool_, ShimPool::Create(std::move(shims), runtime.get()));
  return runtime;
}

absl::StatusOr<std::shared_ptr<PodHandle>> CrispRuntime::StartPod(const PodSpec& spec,
                                                                  const PodStart& how,
                                                                  const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(const PodPlan plan, BuildPodPlan(spec));
  CRISP_ASSIGN_OR_RETURN(std::shared_ptr<Shim> shim,
                         pool_->StartPod(plan, operation, how.meanwhile, how.prepared_network));
  return std::make_shared<CrispPod>(std::move(shim), lowering_);
}

absl::StatusOr<std::shared_ptr<PodHandle>> CrispRuntime::AdoptPod(absl::string_view pod_id,
                                                                  const std::string& state_dir,
                                                                  const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(std::shared_ptr<Shim> shim, pool_->AdoptPod(pod_id, state_dir, operation));
  return std::make_shared<CrispPod>(std::move(shim), lowering_);
}

}  // namespace crisp::runtime
