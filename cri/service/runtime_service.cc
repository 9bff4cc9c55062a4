#include "cri/service/runtime_service.h"

#include <utility>

#include "cri/api/pod_rpcs.h"
#include "cri/service/rpc_call.h"
#include "cri/service/status_to_grpc.h"
#include "cri/state/ready_items.h"

namespace crisp::cri {
namespace {

// Items of one streamed message: small enough for any client's 16 MiB, also with stats.
constexpr int kStreamBatch = 1000;

// Asks the unary form and sends its items in batches.
template <typename UnaryRequest,
          typename UnaryReply,
          typename Batch,
          typename Items,
          typename Target>
grpc::Status StreamList(grpc::ServerContext* context,
                        PodApi& pods,
                        absl::Status (PodApi::*list)(const UnaryRequest&,
                                                     UnaryReply*,
                                                     const Operation&),
                        const UnaryRequest& request,
                        Items items,
                        Target target,
                        grpc::ServerWriter<Batch>* writer) {
  const RpcCall call(context);
  UnaryReply reply;
  const absl::Status listed = (pods.*list)(request, &reply, call.operation());
  if (!listed.ok()) return ToGrpc(listed);
  ExpandReadyItems(reply);
  auto* all = items(reply);
  for (int begin = 0; begin < all->size(); begin += kStreamBatch) {
    Batch batch;
    auto* part = target(batch);
    for (int i = begin; i < all->size() && i < begin + kStreamBatch; ++i) {
      part->Add(std::move(*all->Mutable(i)));
    }
    if (!writer->Write(batch)) return grpc::Status(grpc::StatusCode::CANCELLED, "client went away");
  }
  return grpc::Status::OK;
}

}  // namespace

#define CRISP_POD_RPC(name)                                                                        \
  grpc::Status RuntimeService::name(grpc::ServerContext* context,                                  \
                                    const v1::name##Request* request, v1::name##Response* reply) { \
    const RpcCall call(context);                                                                   \
    return ToGrpc(pods_.name(*request, reply, call.operation()));                                  \
  }
CRISP_POD_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC

#define CRISP_POD_RPC(name)                                                                 \
  grpc::Status RuntimeService::name(grpc::ServerContext*, const v1::name##Request* request, \
                                    v1::name##Response* reply) {                            \
    return ToGrpc(sessions_.name(*request, reply));                                         \
  }
CRISP_POD_SESSION_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC

grpc::Status RuntimeService::StreamPodSandboxes(
    grpc::ServerContext* context,
    const v1::StreamPodSandboxesRequest* request,
    grpc::ServerWriter<v1::StreamPodSandboxesResponse>* writer) {
  v1::ListPodSandboxRequest list;
  if (request->has_filter()) *list.mutable_filter() = request->filter();
  return StreamList(
      context, pods_, &PodApi::ListPodSandbox, list, [](auto& all) { return all.mutable_items(); },
      [](auto& batch) { return batch.mutable_pod_sandboxes(); }, writer);
}

grpc::Status RuntimeService::StreamContainers(
    grpc::ServerContext* context,
    const v1::StreamContainersRequest* request,
    grpc::ServerWriter<v1::StreamContainersResponse>* writer) {
  v1::ListContainersRequest list;
  if (request->has_filter()) *list.mutable_filter() = request->filter();
  return StreamList(
      context, pods_, &PodApi::ListContainers, list,
      [](auto& all) { return all.mutable_containers(); },
      [](auto& batch) { return batch.mutable_containers(); }, writer);
}

grpc::Status RuntimeService::StreamContainerStats(
    grpc::ServerContext* context,
    const v1::StreamContainerStatsRequest* request,
    grpc::ServerWriter<v1::StreamContainerStatsResponse>* writer) {
  v1::ListContainerStatsRequest list;
  if (request->has_filter()) *list.mutable_filter() = request->filter();
  return StreamList(
      context, pods_, &PodApi::ListContainerStats, list,
      [](auto& all) { return all.mutable_stats(); },
      [](auto& batch) { return batch.mutable_container_stats(); }, writer);
}

grpc::Status RuntimeService::StreamPodSandboxStats(
    grpc::ServerContext* context,
    const v1::StreamPodSandboxStatsRequest* request,
    grpc::ServerWriter<v1::StreamPodSandboxStatsResponse>* writer) {
  v1::ListPodSandboxStatsRequest list;
  if (request->has_filter()) *list.mutable_filter() = request->filter();
  return StreamList(
      context, pods_, &PodApi::ListPodSandboxStats, list,
      [](auto& all) { return all.mutable_stats(); },
      [](auto& batch) { return batch.mutable_pod_sandbox_stats(); }, writer);
}

grpc::Status RuntimeService::StreamPodSandboxMetrics(
    grpc::ServerContext* context,
    const v1::StreamPodSandboxMetricsRequest*,
    grpc::ServerWriter<v1::StreamPodSandboxMetricsResponse>* writer) {
  return StreamList(
      context, pods_, &PodApi::ListPodSandboxMetrics, v1::ListPodSandboxMetricsRequest(),
      [](auto& all) { return all.mutable_pod_metrics(); },
      [](auto& batch) { return batch.mutable_pod_sandbox_metrics(); }, writer);
}

grpc::Status RuntimeService::GetContainerEvents(
    grpc::ServerContext* context,
    const v1::GetEventsRequest* request,
    grpc::ServerWriter<v1::ContainerEventResponse>* writer) {
  const RpcCall call(context);
  return ToGrpc(pods_.GetContainerEvents(
      *request, [&](const v1::ContainerEventResponse& event) { return writer->Write(event); },
      call.operation()));
}

}  // namespace crisp::cri
