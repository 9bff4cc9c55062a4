#include "runtime/crisp/crisp_pod.h"

#include "base/status.h"

namespace crisp::runtime {
namespace {

// Hands the group to root of the container, who may have another id on the host.
absl::Status HandOver(const NewContainer& container, const Cgroup& group) {
  const PodNamespaces& pod = container.namespaces;
  return group.HandOver(pod.uid_maps.empty() ? 0 : pod.uid_maps[0].host_id,
                        pod.gid_maps.empty() ? 0 : pod.gid_maps[0].host_id);
}

}  // namespace

void CrispPod::Describe(Json& info) const {
  const ShimVersions versions = shim_->versions();
  info["shimVersions"] = {{"wire", versions.wire}, {"plan", versions.plan}};
}

absl::StatusOr<std::shared_ptr<const ExecBase>> CrispPod::Create(const NewContainer& container,
                                                                 const Operation& operation) {
  const auto done = [&container](const char* step) {
    if (container.done != nullptr) container.done(step);
  };
  const OciSpec& spec = container.spec;
  const Cgroup group = lowering_->GroupAt(spec.linux_.cgroups_path);
  CRISP_RETURN_IF_ERROR(group.Create());
  if (container.owns_cgroup && spec.FindNamespace("cgroup") != nullptr)
    CRISP_RETURN_IF_ERROR(HandOver(container, group));
  done("cgroup");
  CRISP_ASSIGN_OR_RETURN(const std::shared_ptr<const CrispExecBase> base,
                         lowering_->MakeExecBase(spec));
  CRISP_ASSIGN_OR_RETURN(const ContainerPlan plan, lowering_->ToPlan(container, *base));
  done("plan");
  const auto limit = [&] {
    const absl::Status limited = group.Limit(spec.linux_.resources);
    done("limits");
    return limited;
  };
  CRISP_RETURN_IF_ERROR(shim_->CreateContainer(plan, container.root_mount, operation, limit));
  return base;
}

absl::StatusOr<StartedProcess> CrispPod::Exec(const NewExec& exec,
                                              const Stdio& stdio,
                                              const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(const ExecPlan plan, lowering_->ToPlan(exec));
  return shim_->Exec(plan, stdio, operation);
}

}  // namespace crisp::runtime
