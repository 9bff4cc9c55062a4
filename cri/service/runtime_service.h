#ifndef CRISP_CRI_SERVICE_RUNTIME_SERVICE_H_
#define CRISP_CRI_SERVICE_RUNTIME_SERVICE_H_

#include <string>
#include <vector>

#include "cri/api/api.grpc.pb.h"
#include "cri/api/pod_api.h"
#include "cri/api/pod_rpcs.h"
#include "cri/api/session_api.h"
#include "cri/config/config.h"
#include "cri/node/node_info.h"
#include "network/pod/pod_network.h"

namespace crisp::cri {

// runtime.v1.RuntimeService. It answers the node's own RPCs (Version, Status, RuntimeConfig,
// UpdateRuntimeConfig) itself. It hands every RPC about a pod or container to a PodApi or a
// SessionApi. Thread-safe.
class RuntimeService final : public v1::RuntimeService::Service {
 public:
  // The arguments must outlive the service.
  RuntimeService(const Config& config,
                 network::PodNetwork& network,
                 PodApi& pods,
                 SessionApi& sessions,
                 const KernelFeatures& features)
      : config_(config), network_(network), pods_(pods), sessions_(sessions), features_(features) {}

  grpc::Status Version(grpc::ServerContext*,
                       const v1::VersionRequest*,
                       v1::VersionResponse*) override;
  grpc::Status Status(grpc::ServerContext*, const v1::StatusRequest*, v1::StatusResponse*) override;
  grpc::Status RuntimeConfig(grpc::ServerContext*,
                             const v1::RuntimeConfigRequest*,
                             v1::RuntimeConfigResponse*) override;
  grpc::Status UpdateRuntimeConfig(grpc::ServerContext*,
                                   const v1::UpdateRuntimeConfigRequest*,
                                   v1::UpdateRuntimeConfigResponse*) override;

#define CRISP_POD_RPC(name)                                                         \
  grpc::Status name(grpc::ServerContext* context, const v1::name##Request* request, \
                    v1::name##Response* reply) override;
  CRISP_POD_RPCS(CRISP_POD_RPC)
  CRISP_POD_SESSION_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC

  grpc::Status StreamPodSandboxes(grpc::ServerContext*,
                                  const v1::StreamPodSandboxesRequest*,
                                  grpc::ServerWriter<v1::StreamPodSandboxesResponse>*) override;
  grpc::Status StreamContainers(grpc::ServerContext*,
                                const v1::StreamContainersRequest*,
                                grpc::ServerWriter<v1::StreamContainersResponse>*) override;
  grpc::Status StreamContainerStats(grpc::ServerContext*,
                                    const v1::StreamContainerStatsRequest*,
                                    grpc::ServerWriter<v1::StreamContainerStatsResponse>*) override;
  grpc::Status StreamPodSandboxStats(
      grpc::ServerContext*,
      const v1::StreamPodSandboxStatsRequest*,
      grpc::ServerWriter<v1::StreamPodSandboxStatsResponse>*) override;
  grpc::Status StreamPodSandboxMetrics(
      grpc::ServerContext*,
      const v1::StreamPodSandboxMetricsRequest*,
      grpc::ServerWriter<v1::StreamPodSandboxMetricsResponse>*) override;
  grpc::Status GetContainerEvents(grpc::ServerContext*,
                                  const v1::GetEventsRequest*,
                                  grpc::ServerWriter<v1::ContainerEventResponse>*) override;

 private:
  const Config& config_;
  network::PodNetwork& network_;
  PodApi& pods_;
  SessionApi& sessions_;
  const KernelFeatures features_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_SERVICE_RUNTIME_SERVICE_H_
