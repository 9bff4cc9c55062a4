#ifndef CRISP_CRI_API_POD_RPCS_H_
#define CRISP_CRI_API_POD_RPCS_H_

// The pod and container RPCs of the CRI that take one request and give one reply, in one list for
// all files that declare or forward them. CRISP_POD_RPCS(M) expands M(name) for each, and needs a
// semicolon only where M does. A new RPC takes one line here and its method in PodApi's
// implementation.

// The RPCs that PodManager answers.
#define CRISP_POD_MANAGER_RPCS(M) \
  M(RunPodSandbox)                \
  M(StopPodSandbox)               \
  M(RemovePodSandbox)             \
  M(PodSandboxStatus)             \
  M(ListPodSandbox)               \
  M(CreateContainer)              \
  M(StartContainer)               \
  M(StopContainer)                \
  M(RemoveContainer)              \
  M(ListContainers)               \
  M(ContainerStatus)              \
  M(UpdateContainerResources)     \
  M(ReopenContainerLog)           \
  M(ExecSync)                     \
  M(ContainerStats)               \
  M(ListContainerStats)           \
  M(PodSandboxStats)              \
  M(ListPodSandboxStats)          \
  M(ListMetricDescriptors)        \
  M(ListPodSandboxMetrics)        \
  M(UpdatePodSandboxResources)

// Each gives the URL of a streaming session: SessionApi.
#define CRISP_POD_SESSION_RPCS(M) \
  M(Exec)                         \
  M(Attach)                       \
  M(PortForward)

#define CRISP_POD_CHECKPOINT_RPCS(M) \
  M(CheckpointContainer)             \
  M(CheckpointPod)                   \
  M(RestorePod)

#define CRISP_POD_RPCS(M)   \
  CRISP_POD_MANAGER_RPCS(M) \
  CRISP_POD_CHECKPOINT_RPCS(M)

#endif  // CRISP_CRI_API_POD_RPCS_H_
