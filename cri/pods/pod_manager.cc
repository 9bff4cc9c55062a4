#include "cri/pods/pod_manager.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cri/spec/spec_builder.h"
#include "cri/stats/pod_metrics.h"

namespace crisp::cri {

PodManager::Observers::Observers(const NodeContext& node,
                                 PodTable& table,
                                 Queues& queues,
                                 RemoveOnExit::RemovePod remove_pod)
    : trimmer(queues.chores),
      sampler(node, table, ooms, trimmer, queues.quick, queues.chores),
      publisher(table, *node.images),
      remove_on_exit(table, queues.cleanup, std::move(remove_pod)),
      // An exit is published before it ends the pod.
      list({&trimmer, &sampler, &publisher, &remove_on_exit}) {}

PodManager::Containers::Containers(const NodeContext& node,
                                   PodTable& table,
                                   Executions& executions,
                                   Observers& events,
                                   Queues& queues)
    : updates(node, table),
      exits(table, executions, events.ooms, events.list),
      stopper(node, table, exits, queues.quick),
      starter(node, table, updates, exits, events.list, queues.quick),
      remover(node, table, stopper, events.list, queues.cleanup),
      pauser(table) {}

PodManager::Pods::Pods(const NodeContext& node,
                       PodTable& table,
                       ShimKeeper& shims,
                       Containers& containers,
                       Observers& events,
                       Queues& queues)
    : claims(node.layout, [&table](const std::string& id) { return table.HasRow(id); }),
      labels(node),
      spares(node, shims, queues.chores),
      ender(
          node, table, claims, containers.stopper, containers.remover, events.list, queues.cleanup),
      runner(node, table, shims, claims, labels, spares, ender, events.list),
      maker(node,
            table,
            labels,
            spares.roots(),
            containers.remover,
            events.list,
            MakeSpecEdits(node.options, *node.paths)) {}

PodManager::PodManager(std::unique_ptr<const NodeContext> node,
                       std::unique_ptr<RecordStore> records,
                       const MakeRuntimes& make_runtimes)
    : node_(std::move(node)),
      table_(std::move(records), node_->PodsDir()),
      // Called by a job only, when everything is made.
      events_(*node_,
              table_,
              queues_,
              [this](const PodPtr& pod) { return pods_.ender.RemoveNow(pod); }),
      queries_(*node_, table_),
      stats_(*node_, table_),
      executions_(table_, queues_.chores),
      containers_(*node_, table_, executions_, events_, queues_),
      shims_(*node_,
             table_,
             containers_.exits,
             executions_,
             containers_.remover,
             events_.list,
             queues_.quick,
             queues_.adoptions,
             make_runtimes),
      pods_(*node_, table_, shims_, containers_, events_, queues_),
      recovery_(*node_,
                table_,
                shims_,
                pods_.claims,
                pods_.labels,
                pods_.ender,
                containers_.remover,
                pods_.spares,
                queues_.cleanup,
                queues_.adoptions),
      systemd_(queues_.chores) {}

PodManager::~PodManager() { Stop(); }

void PodManager::Stop() {
  shims_.StopAdopting();
  EndStreams();
  queues_.adoptions.Stop();
  queues_.quick.Stop();
  queues_.cleanup.Stop();
  queues_.chores.Stop();
  pods_.spares.roots().DropAll();
}

absl::StatusOr<std::unique_ptr<PodManager>> PodManager::Create(PodManagerOptions options,
                                                               PodManagerParts parts) {
  CRISP_ASSIGN_OR_RETURN(
      std::unique_ptr<const NodeContext> node,
      NodeContext::Make(std::move(options), parts.images, parts.network, parts.metrics));
  if (parts.records == nullptr) {
    CRISP_ASSIGN_OR_RETURN(parts.records,
                           RecordStore::Open(absl::StrCat(node->options.state, "/state.db")));
  }
  std::unique_ptr<PodManager> manager(
      new PodManager(std::move(node), std::move(parts.records), parts.make_runtimes));
  CRISP_RETURN_IF_ERROR(manager->shims_.status());
  CRISP_RETURN_IF_ERROR(manager->queues_.cleanup.Start());
  CRISP_RETURN_IF_ERROR(manager->queues_.chores.Start());
  CRISP_RETURN_IF_ERROR(manager->queues_.quick.Start());
  CRISP_RETURN_IF_ERROR(manager->queues_.adoptions.Start());
  return manager;
}

absl::Status PodManager::Recover() {
  CRISP_RETURN_IF_ERROR(recovery_.Run());
  events_.remove_on_exit.LookAtAll();
  return absl::OkStatus();
}

void PodManager::WarmUp() {
  for (const auto& runtime : shims_.handlers().runtimes()) runtime->WarmUp();
  if (PodCount() > 0) events_.sampler.SampleNow();
  if (node_->UsesSystemd()) systemd_.Begin();
}

#define CRISP_POD_RPC(name)                                                                  \
  absl::Status PodManager::name(const v1::name##Request& request, v1::name##Response* reply, \
                                const Operation& operation) {                                \
    return name(View::kKubelet, request, reply, operation);                                  \
  }
CRISP_POD_VIEWED_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC

// Pods.

absl::Status PodManager::RunPodSandbox(View view,
                                       const v1::RunPodSandboxRequest& request,
                                       v1::RunPodSandboxResponse* reply,
                                       const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(*reply->mutable_pod_sandbox_id(),
                         pods_.runner.Run(view, request, operation));
  return absl::OkStatus();
}

absl::Status PodManager::StopPodSandbox(const v1::StopPodSandboxRequest& request,
                                        v1::StopPodSandboxResponse*,
                                        const Operation& operation) {
  const absl::StatusOr<PodPtr> pod = table_.FindPod(request.pod_sandbox_id());
  if (absl::IsNotFound(pod.status())) return absl::OkStatus();
  return pod.ok() ? pods_.ender.Stop(*pod, operation) : pod.status();
}

absl::Status PodManager::RemovePodSandbox(const v1::RemovePodSandboxRequest& request,
                                          v1::RemovePodSandboxResponse*,
                                          const Operation& operation) {
  const absl::StatusOr<PodPtr> pod = table_.FindPod(request.pod_sandbox_id());
  if (absl::IsNotFound(pod.status())) return absl::OkStatus();
  return pod.ok() ? pods_.ender.Remove(*pod, operation) : pod.status();
}

absl::Status PodManager::PodSandboxStatus(const v1::PodSandboxStatusRequest& request,
                                          v1::PodSandboxStatusResponse* reply,
                                          const Operation&) {
  return queries_.PodSandboxStatus(request, reply);
}

absl::Status PodManager::ListPodSandbox(View view,
                                        const v1::ListPodSandboxRequest& request,
                                        v1::ListPodSandboxResponse* reply,
                                        const Operation&) {
  return queries_.ListPodSandbox(view, request, reply);
}

absl::Status PodManager::UpdatePodSandboxResources(
    const v1::UpdatePodSandboxResourcesRequest& request,
    v1::UpdatePodSandboxResourcesResponse*,
    const Operation&) {
  return containers_.updates.UpdatePod(request);
}

// Containers.

absl::Status PodManager::CreateContainer(const v1::CreateContainerRequest& request,
                                         v1::CreateContainerResponse* reply,
                                         const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(*reply->mutable_container_id(), pods_.maker.Create(request, operation));
  return absl::OkStatus();
}

absl::Status PodManager::StartContainer(const v1::StartContainerRequest& request,
                                        v1::StartContainerResponse*,
                                        const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(const ContainerPtr container,
                         table_.FindContainer(request.container_id()));
  return containers_.starter.Start(container, operation);
}

absl::Status PodManager::StopContainer(const v1::StopContainerRequest& request,
                                       v1::StopContainerResponse*,
                                       const Operation& operation) {
  const absl::StatusOr<ContainerPtr> container = table_.FindContainer(request.container_id());
  if (absl::IsNotFound(container.status())) return absl::OkStatus();
  if (!container.ok()) return container.status();
  // A grace of more than a century is none that ends; it must not overflow the clock.
  const int64_t grace = std::clamp<int64_t>(request.timeout(), 0, int64_t{1} << 32);
  return containers_.stopper.Stop(*container, absl::Seconds(grace), operation);
}

absl::Status PodManager::SignalContainer(const admin::SignalContainerRequest& request,
                                         admin::SignalContainerResponse*,
                                         const Operation&) {
  CRISP_ASSIGN_OR_RETURN(const int signal, ParseSignal(request.signal()));
  CRISP_ASSIGN_OR_RETURN(const PodTable::RunningContainer running,
                         table_.FindRunning(request.container_id()));
  return SignalInit(*running.container, signal);
}

absl::Status PodManager::RemoveContainer(const v1::RemoveContainerRequest& request,
                                         v1::RemoveContainerResponse*,
                                         const Operation& operation) {
  const absl::StatusOr<ContainerPtr> container = table_.FindContainer(request.container_id());
  if (absl::IsNotFound(container.status())) return absl::OkStatus();
  return container.ok() ? containers_.remover.Remove(*container, operation) : container.status();
}

absl::Status PodManager::ContainerStatus(const v1::ContainerStatusRequest& request,
                                         v1::ContainerStatusResponse* reply,
                                         const Operation&) {
  return queries_.ContainerStatus(request, reply);
}

absl::Status PodManager::ListContainers(View view,
                                        const v1::ListContainersRequest& request,
                                        v1::ListContainersResponse* reply,
                                        const Operation&) {
  return queries_.ListContainers(view, request, reply);
}

absl::Status PodManager::UpdateContainerResources(
    const v1::UpdateContainerResourcesRequest& request,
    v1::UpdateContainerResourcesResponse*,
    const Operation& operation) {
  return containers_.updates.UpdateContainer(request, operation);
}

absl::Status PodManager::ReopenContainerLog(const v1::ReopenContainerLogRequest& request,
                                            v1::ReopenContainerLogResponse*,
                                            const Operation&) {
  CRISP_ASSIGN_OR_RETURN(const PodTable::RunningContainer running,
                         table_.FindRunning(request.container_id()));
  CRISP_RETURN_IF_ERROR(Can(*running.container->pod, runtime::Verb::kReopenLog));
  return running.handle->ReopenLog(running.id);
}

absl::Status PodManager::ExecSync(const v1::ExecSyncRequest& request,
                                  v1::ExecSyncResponse* reply,
                                  const Operation& operation) {
  return executions_.ExecSync(request, reply, operation);
}

std::vector<v1::RuntimeHandler> PodManager::Handlers() const {
  std::vector<v1::RuntimeHandler> all;
  for (const runtime::HandlerTable::Handler& handler : shims_.handlers().handlers()) {
    const runtime::Features& features = handler.runtime->features();
    v1::RuntimeHandler& added = all.emplace_back();
    added.set_name(handler.name);
    added.mutable_features()->set_recursive_read_only_mounts(features.recursive_read_only_mounts);
    added.mutable_features()->set_user_namespaces(features.no_user_namespaces.empty());
  }
  return all;
}

// The operator's verbs beyond the CRI.

absl::Status PodManager::PauseContainer(const admin::PauseContainerRequest& request,
                                        admin::PauseContainerResponse*,
                                        const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(const ContainerPtr container,
                         table_.FindContainer(request.container_id()));
  return containers_.pauser.Pause(*container, operation);
}

absl::Status PodManager::UnpauseContainer(const admin::UnpauseContainerRequest& request,
                                          admin::UnpauseContainerResponse*,
                                          const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(const ContainerPtr container,
                         table_.FindContainer(request.container_id()));
  return containers_.pauser.Unpause(*container, operation);
}

absl::Status PodManager::ContainerChanges(const admin::ContainerChangesRequest& request,
                                          admin::ContainerChangesResponse* reply,
                                          const Operation& operation) {
  return queries_.ContainerChanges(request, reply, operation);
}

// Statistics and events.

absl::Status PodManager::ContainerStats(const v1::ContainerStatsRequest& request,
                                        v1::ContainerStatsResponse* reply,
                                        const Operation&) {
  return stats_.ContainerStats(request, reply);
}

absl::Status PodManager::ListContainerStats(View view,
                                            const v1::ListContainerStatsRequest& request,
                                            v1::ListContainerStatsResponse* reply,
                                            const Operation&) {
  return stats_.ListContainerStats(view, request, reply);
}

absl::Status PodManager::PodSandboxStats(const v1::PodSandboxStatsRequest& request,
                                         v1::PodSandboxStatsResponse* reply,
                                         const Operation&) {
  return stats_.PodSandboxStats(request, reply);
}

absl::Status PodManager::ListPodSandboxStats(View view,
                                             const v1::ListPodSandboxStatsRequest& request,
                                             v1::ListPodSandboxStatsResponse* reply,
                                             const Operation&) {
  return stats_.ListPodSandboxStats(view, request, reply);
}

absl::Status PodManager::ListMetricDescriptors(const v1::ListMetricDescriptorsRequest&,
                                               v1::ListMetricDescriptorsResponse* reply,
                                               const Operation&) {
  *reply = MetricDescriptors();
  return absl::OkStatus();
}

absl::Status PodManager::ListPodSandboxMetrics(View view,
                                               const v1::ListPodSandboxMetricsRequest&,
                                               v1::ListPodSandboxMetricsResponse* reply,
                                               const Operation&) {
  return stats_.ListPodSandboxMetrics(view, reply);
}

absl::Status PodManager::GetContainerEvents(
    const v1::GetEventsRequest&,
    const std::function<bool(const v1::ContainerEventResponse&)>& write,
    const Operation& operation) {
  return GetContainerEvents(View::kKubelet, write, operation);
}

absl::Status PodManager::GetContainerEvents(
    View view,
    const std::function<bool(const v1::ContainerEventResponse&)>& write,
    const Operation& operation) {
  return events_.publisher.hub(view).Read(write, operation);
}

}  // namespace crisp::cri
