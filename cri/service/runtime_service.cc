#include "cri/service/runtime_service.h"

#include <utility>

#include "base/status.h"
#include "cri/api/pod_rpcs.h"
#include "cri/service/rpc_call.h"
#include "cri/state/serialized_items.h"

namespace crisp::cri {
namespace {

// Items of one streamed message: small enough for any client's 16 MiB, also with stats.
constexpr int kStreamBatch = 1000;

// Asks the unary form and sends its items in batches.
template <typename Batch,
          typename UnaryRequest,
          typename UnaryReply,
          typename Items,
          typename Target>
grpc::ServerWriteReactor<Batch>* StreamList(Workers& threads,
                                            grpc::CallbackServerContext* context,
                                            PodApi& pods,
                                            absl::Status (PodApi::*list)(const UnaryRequest&,
                                                                         UnaryReply*,
                                                                         const Operation&),
                                            UnaryRequest request,
                                            Items items,
                                            Target target) {
  return ServeStream<Batch>(
      threads, context,
      [=, &pods, request = std::move(request)](const Operation& operation,
                                               StreamCall<Batch>& stream) -> absl::Status {
        UnaryReply reply;
        CRISP_RETURN_IF_ERROR((pods.*list)(request, &reply, operation));
        ExpandSerializedItems(reply);
        auto* all = items(reply);
        for (int begin = 0; begin < all->size(); begin += kStreamBatch) {
          Batch batch;
          auto* part = target(batch);
          for (int i = begin; i < all->size() && i < begin + kStreamBatch; ++i) {
            part->Add(std::move(*all->Mutable(i)));
          }
          if (!stream.Write(batch)) return absl::CancelledError("client went away");
        }
        return absl::OkStatus();
      });
}

}  // namespace

#define CRISP_POD_RPC(name)                                                            \
  grpc::ServerUnaryReactor* RuntimeService::name(grpc::CallbackServerContext* context, \
                                                 const v1::name##Request* request,     \
                                                 v1::name##Response* reply) {          \
    return ServeUnary(threads_, context, [=, this](const Operation& operation) {       \
      return pods_.name(*request, reply, operation);                                   \
    });                                                                                \
  }
CRISP_POD_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC

#define CRISP_POD_RPC(name)                                                                     \
  grpc::ServerUnaryReactor* RuntimeService::name(grpc::CallbackServerContext* context,          \
                                                 const v1::name##Request* request,              \
                                                 v1::name##Response* reply) {                   \
    return ServeUnary(threads_, context,                                                        \
                      [=, this](const Operation&) { return sessions_.name(*request, reply); }); \
  }
CRISP_POD_SESSION_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC

grpc::ServerWriteReactor<v1::StreamPodSandboxesResponse>* RuntimeService::StreamPodSandboxes(
    grpc::CallbackServerContext* context, const v1::StreamPodSandboxesRequest* request) {
  v1::ListPodSandboxRequest list;
  if (request->has_filter()) *list.mutable_filter() = request->filter();
  return StreamList<v1::StreamPodSandboxesResponse>(
      threads_, context, pods_, &PodApi::ListPodSandbox, list,
      [](auto& all) { return all.mutable_items(); },
      [](auto& batch) { return batch.mutable_pod_sandboxes(); });
}

grpc::ServerWriteReactor<v1::StreamContainersResponse>* RuntimeService::StreamContainers(
    grpc::CallbackServerContext* context, const v1::StreamContainersRequest* request) {
  v1::ListContainersRequest list;
  if (request->has_filter()) *list.mutable_filter() = request->filter();
  return StreamList<v1::StreamContainersResponse>(
      threads_, context, pods_, &PodApi::ListContainers, list,
      [](auto& all) { return all.mutable_containers(); },
      [](auto& batch) { return batch.mutable_containers(); });
}

grpc::ServerWriteReactor<v1::StreamContainerStatsResponse>* RuntimeService::StreamContainerStats(
    grpc::CallbackServerContext* context, const v1::StreamContainerStatsRequest* request) {
  v1::ListContainerStatsRequest list;
  if (request->has_filter()) *list.mutable_filter() = request->filter();
  return StreamList<v1::StreamContainerStatsResponse>(
      threads_, context, pods_, &PodApi::ListContainerStats, list,
      [](auto& all) { return all.mutable_stats(); },
      [](auto& batch) { return batch.mutable_container_stats(); });
}

grpc::ServerWriteReactor<v1::StreamPodSandboxStatsResponse>* RuntimeService::StreamPodSandboxStats(
    grpc::CallbackServerContext* context, const v1::StreamPodSandboxStatsRequest* request) {
  v1::ListPodSandboxStatsRequest list;
  if (request->has_filter()) *list.mutable_filter() = request->filter();
  return StreamList<v1::StreamPodSandboxStatsResponse>(
      threads_, context, pods_, &PodApi::ListPodSandboxStats, list,
      [](auto& all) { return all.mutable_stats(); },
      [](auto& batch) { return batch.mutable_pod_sandbox_stats(); });
}

grpc::ServerWriteReactor<v1::StreamPodSandboxMetricsResponse>*
RuntimeService::StreamPodSandboxMetrics(grpc::CallbackServerContext* context,
                                        const v1::StreamPodSandboxMetricsRequest*) {
  return StreamList<v1::StreamPodSandboxMetricsResponse>(
      threads_, context, pods_, &PodApi::ListPodSandboxMetrics, v1::ListPodSandboxMetricsRequest(),
      [](auto& all) { return all.mutable_pod_metrics(); },
      [](auto& batch) { return batch.mutable_pod_sandbox_metrics(); });
}

grpc::ServerWriteReactor<v1::ContainerEventResponse>* RuntimeService::GetContainerEvents(
    grpc::CallbackServerContext* context, const v1::GetEventsRequest* request) {
  return ServeStream<v1::ContainerEventResponse>(
      threads_, context,
      [=, this](const Operation& operation, StreamCall<v1::ContainerEventResponse>& stream) {
        return pods_.GetContainerEvents(
            *request,
            [&stream](const v1::ContainerEventResponse& event) { return stream.Write(event); },
            operation);
      });
}

}  // namespace crisp::cri
