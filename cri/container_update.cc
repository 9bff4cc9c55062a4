#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cri/pod_manager.h"
#include "runtime/cgroup_resources.h"

namespace crisp::cri {

absl::Status PodManager::UpdateContainerResources(const v1::UpdateContainerResourcesRequest& request,
                                                  v1::UpdateContainerResourcesResponse*,
                                                  const Cancel& cancel) {
  CRISP_ASSIGN_OR_RETURN(const ContainerPtr container, containers_.Find(request.container_id()));
  CRISP_ASSIGN_OR_RETURN(const runtime::OciResources change, BuildResources(request.linux(), host_));
  // One at a time, each wholly; nothing but another update waits for it.
  absl::MutexLock one_at_a_time(&container->update_mutex);
  CRISP_RETURN_IF_ERROR(cancel.Check("update of container resources"));
  const state::ContainerRecord record = container->Snapshot();
  if (record.stage() != state::ContainerRecord::CREATED && record.stage() != state::ContainerRecord::RUNNING) {
    return absl::FailedPreconditionError(
        absl::StrCat("container ", container->id, " has ended: there is nothing to update"));
  }
  CRISP_RETURN_IF_ERROR(CgroupAt(record.cgroup_path())
                            .Update(CompleteChange(container->Spec()->linux_.resources, change)));
  auto spec = std::make_shared<runtime::OciSpec>(*container->Spec());
  spec->linux_.resources = runtime::MergeResources(spec->linux_.resources, change);
  const absl::Status saved = Change(*container, [&](state::ContainerRecord& r) {
    *r.mutable_resources() = MergeCriResources(r.resources(), request.linux());
    r.set_spec_json(SpecToRow(*spec, r.config()));
  });
  absl::MutexLock lock(&container->mutex);
  container->spec = std::move(spec);
  return saved;
}

}  // namespace crisp::cri
