#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/pod_manager.h"
#include "runtime/cgroup_resources.h"

namespace crisp::cri {
namespace {

// Gives `wanted` to every process of the group that still has `former`: what a program has set for
// itself stays. Those that come or go meanwhile are found by another look. Lowering needs
// CAP_SYS_RESOURCE; without it the limits count all the same.
void AdjustOomScores(const runtime::Cgroup& group, int64_t former, int64_t wanted) {
  bool changed = true;
  for (int round = 0; changed && round < 8; ++round) {
    changed = false;
    const auto pids = group.Pids();
    if (!pids.ok()) return;
    for (const int32_t pid : *pids) {
      const std::string path = absl::StrCat("/proc/", pid, "/oom_score_adj");
      const auto text = ReadFile(path, 64);
      int64_t now = 0;
      if (!text.ok() || !absl::SimpleAtoi(*text, &now) || now != former) continue;
      const absl::Status written = WriteKernelFile(path, absl::StrCat(wanted));
      if (absl::IsPermissionDenied(written)) {
        LogWarning("oom_score_adj cannot be lowered", {{"pid", pid}, {"error", written.ToString()}});
        return;
      }
      changed |= written.ok();
    }
  }
}

}  // namespace

void PodManager::ApplyOomScore(const state::ContainerRecord& record, int64_t former) {
  const int64_t wanted = record.resources().oom_score_adj();
  if (wanted != former) AdjustOomScores(CgroupAt(record.cgroup_path()), former, wanted);
}

absl::Status PodManager::UpdateContainerResources(const v1::UpdateContainerResourcesRequest& request,
                                                  v1::UpdateContainerResourcesResponse*,
                                                  const Cancel& cancel) {
  CRISP_ASSIGN_OR_RETURN(const ContainerPtr container, containers_.Find(request.container_id()));
  CRISP_ASSIGN_OR_RETURN(const runtime::OciResources change, BuildResources(request.linux(), host_));
  // One at a time, each wholly; nothing but another update waits for it.
  absl::MutexLock one_at_a_time(&container->update_mutex);
  CRISP_RETURN_IF_ERROR(cancel.Check("update of container resources"));
  const auto held = container->Snapshot();
  const state::ContainerRecord& record = *held;
  if (record.stage() != state::ContainerRecord::CREATED && record.stage() != state::ContainerRecord::RUNNING) {
    return absl::FailedPreconditionError(
        absl::StrCat("container ", container->id, " has ended: there is nothing to update"));
  }
  CRISP_ASSIGN_OR_RETURN(runtime::OciSpec spec, SpecOf(*container));
  CRISP_RETURN_IF_ERROR(
      CgroupAt(record.cgroup_path()).Update(CompleteChange(spec.linux_.resources, change)));
  spec.linux_.resources = runtime::MergeResources(spec.linux_.resources, change);
  if (request.linux().oom_score_adj() != 0) {
    spec.process.oom_score_adj = static_cast<int32_t>(request.linux().oom_score_adj());
  }
  absl::Status saved = records_->PutSpec(container->id, SpecToRow(spec, record.config()));
  saved.Update(Change(*container, [&](state::ContainerRecord& r) {
    *r.mutable_resources() = MergeCriResources(r.resources(), request.linux());
  }));
  ApplyOomScore(*container->Snapshot(), record.resources().oom_score_adj());
  absl::StatusOr<std::shared_ptr<const ExecBase>> base = MakeExecBase(spec);
  saved.Update(base.status());
  absl::MutexLock lock(&container->mutex);
  container->exec_base = base.ok() ? *std::move(base) : nullptr;
  return saved;
}

}  // namespace crisp::cri
