#ifndef CRISP_CRI_API_POD_RPCS_H_
#define CRISP_CRI_API_POD_RPCS_H_

// The pod and container RPCs of the CRI that take one request and give one reply, in one list for
// all files that declare or forward them. CRISP_POD_RPCS(M) expands M(name) for each, and needs a
// semicolon only where M does. A new RPC takes one line here and its method in PodApi's
// implementation.

// Whose pods these make or list depends on the socket by which the client came.
#define CRISP_POD_VIEWED_RPCS(M) \
  M(RunPodSandbox)               \
  M(ListPodSandbox)              \
  M(ListContainers)              \
  M(ListContainerStats)          \
  M(ListPodSandboxStats)         \
  M(ListPodSandboxMetrics)

// These name a pod or container by its id, or none, and are the same for every client.
#define CRISP_POD_COMMON_RPCS(M) \
  M(StopPodSandbox)              \
  M(RemovePodSandbox)            \
  M(PodSandboxStatus)            \
  M(CreateContainer)             \
  M(StartContainer)              \
  M(StopContainer)               \
  M(RemoveContainer)             \
  M(ContainerStatus)             \
  M(UpdateContainerResources)    \
  M(ReopenContainerLog)          \
  M(ExecSync)                    \
  M(ContainerStats)              \
  M(PodSandboxStats)             \
  M(ListMetricDescriptors)       \
  M(UpdatePodSandboxResources)

// The RPCs that PodManager answers.
#define CRISP_POD_MANAGER_RPCS(M) \
  CRISP_POD_VIEWED_RPCS(M)        \
  CRISP_POD_COMMON_RPCS(M)

// Each gives the URL of a streaming session: SessionApi.
#define CRISP_POD_SESSION_RPCS(M) \
  M(Exec)                         \
  M(Attach)                       \
  M(PortForward)

#define CRISP_POD_CHECKPOINT_RPCS(M) \
  M(CheckpointContainer)             \
  M(CheckpointPod)                   \
  M(RestorePod)

// Of crisp.v1.Admin, about pods and containers.
#define CRISP_POD_ADMIN_RPCS(M) \
  M(PauseContainer)             \
  M(UnpauseContainer)           \
  M(SignalContainer)            \
  M(ContainerChanges)

#define CRISP_POD_RPCS(M)   \
  CRISP_POD_MANAGER_RPCS(M) \
  CRISP_POD_CHECKPOINT_RPCS(M)

#endif  // CRISP_CRI_API_POD_RPCS_H_
