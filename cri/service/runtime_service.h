#ifndef CRISP_CRI_SERVICE_RUNTIME_SERVICE_H_
#define CRISP_CRI_SERVICE_RUNTIME_SERVICE_H_

#include <string>
#include <vector>

#include "base/workers.h"
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
class RuntimeService final : public v1::RuntimeService::CallbackService {
 public:
  // The arguments must outlive the service.
  RuntimeService(Workers& threads,
                 const Config& config,
                 network::PodNetwork& network,
                 PodApi& pods,
                 SessionApi& sessions,
                 const KernelFeatures& features)
      : threads_(threads),
        config_(config),
        network_(network),
        pods_(pods),
        sessions_(sessions),
        features_(features) {}

  grpc::ServerUnaryReactor* Version(grpc::CallbackServerContext* context,
                                    const v1::VersionRequest* request,
                                    v1::VersionResponse* reply) override;
  grpc::ServerUnaryReactor* Status(grpc::CallbackServerContext* context,
                                   const v1::StatusRequest* request,
                                   v1::StatusResponse* reply) override;
  grpc::ServerUnaryReactor* RuntimeConfig(grpc::CallbackServerContext* context,
                                          const v1::RuntimeConfigRequest* request,
                                          v1::RuntimeConfigResponse* reply) override;
  grpc::ServerUnaryReactor* UpdateRuntimeConfig(grpc::CallbackServerContext* context,
                                                const v1::UpdateRuntimeConfigRequest* request,
                                                v1::UpdateRuntimeConfigResponse* reply) override;

#define CRISP_POD_RPC(name)                                                                   \
  grpc::ServerUnaryReactor* name(grpc::CallbackServerContext* context,                        \
                                 const v1::name##Request* request, v1::name##Response* reply) \
      override;
  CRISP_POD_RPCS(CRISP_POD_RPC)
  CRISP_POD_SESSION_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC

  grpc::ServerWriteReactor<v1::StreamPodSandboxesResponse>* StreamPodSandboxes(
      grpc::CallbackServerContext* context, const v1::StreamPodSandboxesRequest* request) override;
  grpc::ServerWriteReactor<v1::StreamContainersResponse>* StreamContainers(
      grpc::CallbackServerContext* context, const v1::StreamContainersRequest* request) override;
  grpc::ServerWriteReactor<v1::StreamContainerStatsResponse>* StreamContainerStats(
      grpc::CallbackServerContext* context,
      const v1::StreamContainerStatsRequest* request) override;
  grpc::ServerWriteReactor<v1::StreamPodSandboxStatsResponse>* StreamPodSandboxStats(
      grpc::CallbackServerContext* context,
      const v1::StreamPodSandboxStatsRequest* request) override;
  grpc::ServerWriteReactor<v1::StreamPodSandboxMetricsResponse>* StreamPodSandboxMetrics(
      grpc::CallbackServerContext* context,
      const v1::StreamPodSandboxMetricsRequest* request) override;
  grpc::ServerWriteReactor<v1::ContainerEventResponse>* GetContainerEvents(
      grpc::CallbackServerContext* context, const v1::GetEventsRequest* request) override;

 private:
  absl::Status FillStatus(const v1::StatusRequest& request, v1::StatusResponse* reply);

  Workers& threads_;
  const Config& config_;
  network::PodNetwork& network_;
  PodApi& pods_;
  SessionApi& sessions_;
  const KernelFeatures features_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_SERVICE_RUNTIME_SERVICE_H_
