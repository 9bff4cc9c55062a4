#include "cri/containers/resource_updates.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/spec/spec_row.h"
#include "runtime/cgroup/cgroup_resources.h"

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
      // The number may be another's by now.
      const auto process = group.OpenProcess(pid);
      if (!process.ok()) continue;
      const auto text = ReadFileAt(process->get(), "oom_score_adj", 64);
      int64_t now = 0;
      if (!text.ok() || !absl::SimpleAtoi(*text, &now) || now != former) continue;
      const absl::Status written =
          WriteKernelFileAt(process->get(), "oom_score_adj", absl::StrCat(wanted));
      if (absl::IsPermissionDenied(written)) {
        LogWarning("oom_score_adj cannot be lowered",
                   {{"pid", pid}, {"error", written.ToString()}});
        return;
      }
      changed |= written.ok();
    }
  }
}

}  // namespace

void ResourceUpdates::ApplyOomScore(const state::ContainerRecord& record, int64_t former) const {
  const int64_t wanted = record.resources().oom_score_adj();
  if (wanted != former) AdjustOomScores(node_.CgroupAt(record.cgroup_path()), former, wanted);
}

absl::Status ResourceUpdates::UpdateContainer(const v1::UpdateContainerResourcesRequest& request,
                                              const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(const ContainerPtr container,
                         table_.FindContainer(request.container_id()));
  CRISP_RETURN_IF_ERROR(Can(*container->pod, runtime::Verb::kUpdate));
  CRISP_ASSIGN_OR_RETURN(const runtime::OciResources change,
                         BuildResources(request.linux(), node_.host));
  // One at a time, each wholly; nothing but another update waits for it.
  absl::MutexLock one_at_a_time(&container->update_mutex);
  CRISP_RETURN_IF_ERROR(operation.Check("update of container resources"));
  const auto held = container->Snapshot();
  const state::ContainerRecord& record = *held;
  if (record.stage() != state::ContainerRecord::CREATED &&
      record.stage() != state::ContainerRecord::RUNNING) {
    return absl::FailedPreconditionError(
        absl::StrCat("container ", container->id, " has ended: there is nothing to update"));
  }
  CRISP_ASSIGN_OR_RETURN(runtime::OciSpec spec, table_.SpecOf(*container));
  runtime::PodRuntime& runtime = *container->pod->runtime;
  CRISP_RETURN_IF_ERROR(runtime.Update(RefTo(*container->pod, record),
                                       CompleteChange(spec.linux_.resources, change)));
  spec.linux_.resources = runtime::MergeResources(spec.linux_.resources, change);
  if (request.linux().oom_score_adj() != 0) {
    spec.process.oom_score_adj = static_cast<int32_t>(request.linux().oom_score_adj());
  }
  absl::Status saved = table_.PutSpec(*container, SpecToRow(spec, record.config()));
  saved.Update(table_.Change(*container, [&](state::ContainerRecord& r) {
    *r.mutable_resources() = MergeCriResources(r.resources(), request.linux());
  }));
  ApplyOomScore(*container->Snapshot(), record.resources().oom_score_adj());
  absl::StatusOr<std::shared_ptr<const runtime::ExecBase>> base = runtime.MakeExecBase(spec);
  saved.Update(base.status());
  absl::MutexLock lock(&container->mutex);
  container->exec_base = base.ok() ? *std::move(base) : nullptr;
  return saved;
}

absl::Status ResourceUpdates::UpdatePod(const v1::UpdatePodSandboxResourcesRequest& request) {
  CRISP_ASSIGN_OR_RETURN(const PodPtr pod, table_.FindPod(request.pod_sandbox_id()));
  // The kubelet has changed the group that it made; others who ask have only us for it. A pod that
  // is stopped may have no group any more.
  if (request.has_resources() && pod->Ready()) {
    CRISP_ASSIGN_OR_RETURN(const runtime::OciResources change,
                           BuildResources(request.resources(), node_.host));
    CRISP_RETURN_IF_ERROR(node_.CgroupAt(pod->Snapshot()->cgroup_path()).Update(change));
  }
  return table_.Change(*pod, [&request](state::PodRecord& record) {
    v1::LinuxPodSandboxConfig* linux_config = record.mutable_config()->mutable_linux();
    if (request.has_overhead()) *linux_config->mutable_overhead() = request.overhead();
    if (request.has_resources()) *linux_config->mutable_resources() = request.resources();
  });
}

}  // namespace crisp::cri
