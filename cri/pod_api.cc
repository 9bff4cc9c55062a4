#include "cri/pod_api.h"

#include "absl/strings/str_cat.h"

namespace crisp::cri {

#define CRISP_POD_RPC(name)                                                               \
  absl::Status PodApi::name(const v1::name##Request&, v1::name##Response*, const Cancel&) { \
    return absl::UnimplementedError(#name " is not implemented");                         \
  }
CRISP_POD_RPC(RunPodSandbox)
CRISP_POD_RPC(StopPodSandbox)
CRISP_POD_RPC(RemovePodSandbox)
CRISP_POD_RPC(PodSandboxStatus)
CRISP_POD_RPC(ListPodSandbox)
CRISP_POD_RPC(CreateContainer)
CRISP_POD_RPC(StartContainer)
CRISP_POD_RPC(StopContainer)
CRISP_POD_RPC(RemoveContainer)
CRISP_POD_RPC(ListContainers)
CRISP_POD_RPC(ContainerStatus)
CRISP_POD_RPC(UpdateContainerResources)
CRISP_POD_RPC(ReopenContainerLog)
CRISP_POD_RPC(ExecSync)
CRISP_POD_RPC(Exec)
CRISP_POD_RPC(Attach)
CRISP_POD_RPC(PortForward)
CRISP_POD_RPC(ContainerStats)
CRISP_POD_RPC(ListContainerStats)
CRISP_POD_RPC(PodSandboxStats)
CRISP_POD_RPC(ListPodSandboxStats)
CRISP_POD_RPC(CheckpointContainer)
CRISP_POD_RPC(CheckpointPod)
CRISP_POD_RPC(RestorePod)
CRISP_POD_RPC(ListMetricDescriptors)
CRISP_POD_RPC(ListPodSandboxMetrics)
CRISP_POD_RPC(UpdatePodSandboxResources)
#undef CRISP_POD_RPC

absl::Status PodApi::GetContainerEvents(
    const v1::GetEventsRequest&,
    const std::function<bool(const v1::ContainerEventResponse&)>&,
    const Cancel&) {
  return absl::UnimplementedError("GetContainerEvents is not implemented");
}

absl::StatusOr<Json> PodApi::Explain(absl::string_view container_id) {
  return absl::NotFoundError(absl::StrCat("container ", container_id, " is not known"));
}

absl::Status PodApi::Recover() { return absl::OkStatus(); }

absl::Status PodApi::RemoveAllPods(const Cancel&) { return absl::OkStatus(); }

int PodApi::PodCount() const { return 0; }

::crisp::runtime::ShimObserver* PodApi::observer() { return nullptr; }

}  // namespace crisp::cri
