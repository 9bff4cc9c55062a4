#ifndef CRISP_CRI_PODS_POD_MANAGER_H_
#define CRISP_CRI_PODS_POD_MANAGER_H_

#include <functional>
#include <memory>
#include <string>

#include "cri/api/pod_api.h"
#include "cri/api/pod_rpcs.h"
#include "cri/containers/cgroup_claims.h"
#include "cri/containers/container_exits.h"
#include "cri/containers/container_maker.h"
#include "cri/containers/container_pauser.h"
#include "cri/containers/container_remover.h"
#include "cri/containers/container_starter.h"
#include "cri/containers/container_stopper.h"
#include "cri/containers/executions.h"
#include "cri/containers/node_context.h"
#include "cri/containers/oom_counter.h"
#include "cri/containers/pod_options.h"
#include "cri/containers/resource_updates.h"
#include "cri/containers/selinux_labels.h"
#include "cri/pods/event_publisher.h"
#include "cri/pods/memory_trimmer.h"
#include "cri/pods/pod_ender.h"
#include "cri/pods/pod_queries.h"
#include "cri/pods/pod_runner.h"
#include "cri/pods/recovery.h"
#include "cri/pods/remove_on_exit.h"
#include "cri/pods/sampler.h"
#include "cri/pods/shim_keeper.h"
#include "cri/pods/spares.h"
#include "cri/pods/stats_reader.h"
#include "cri/pods/systemd_watch.h"
#include "cri/state/pod_table.h"
#include "cri/state/work_queue.h"

namespace crisp::cri {

// The parts on which a PodManager is made. The objects that are pointed to outlive it.
struct PodManagerParts {
  storage::ImageStore* images = nullptr;
  network::PodNetwork* network = nullptr;
  MakeRuntimes make_runtimes;
  metrics::Registry* metrics = nullptr;            // where the times of steps go; null: nowhere
  std::unique_ptr<RecordStore> records = nullptr;  // null for <state>/state.db
};

// The pods and containers of the node (RuntimeService without its node RPCs). It puts together the
// classes that do the work, and does nothing else. What is known is in memory and in the record
// store (PodTable). What a shim, a cgroup or the network holds is found again from the records.
//
// The thread of the RPC that asked for an operation first does it to its end, whatever becomes of
// the client. The same request again joins it (JoinTable) or finds what it made (PodTable::IdOf()).
// Every pod and container has a row before it has anything else, and loses it last. Undoing is one
// idempotent function for each. The failing RPC runs it, the background queue until it succeeds, or
// the next start.
class PodManager final : public PodApi {
 public:
  // Serves after Recover().
  static absl::StatusOr<std::unique_ptr<PodManager>> Create(PodManagerOptions options,
                                                            PodManagerParts parts);
  ~PodManager() override;
  // Begins to make things ahead of need. Called once, when requests are being answered, because it
  // would delay that.
  void WarmUp();
  // Ends event streams.
  void EndStreams() { events_.publisher.Stop(); }
  // Stops the background work; none is running any more when it returns. The containers go on.
  void Stop();

  // As a PodApi it has the kubelet's view. OperatorView has the operator's.
#define CRISP_POD_RPC(name)                                                      \
  absl::Status name(const v1::name##Request& request, v1::name##Response* reply, \
                    const Operation& operation) override;
  CRISP_POD_MANAGER_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC
#define CRISP_POD_RPC(name)                                                            \
  absl::Status name(const admin::name##Request& request, admin::name##Response* reply, \
                    const Operation& operation) override;
  CRISP_POD_ADMIN_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC
  absl::Status GetContainerEvents(
      const v1::GetEventsRequest& request,
      const std::function<bool(const v1::ContainerEventResponse&)>& write,
      const Operation& operation) override;

  // The RPCs of which a view decides what they make or tell.
#define CRISP_POD_RPC(name)                                                                 \
  absl::Status name(View view, const v1::name##Request& request, v1::name##Response* reply, \
                    const Operation& operation);
  CRISP_POD_VIEWED_RPCS(CRISP_POD_RPC)
#undef CRISP_POD_RPC
  absl::Status GetContainerEvents(
      View view,
      const std::function<bool(const v1::ContainerEventResponse&)>& write,
      const Operation& operation);

  absl::StatusOr<Json> Explain(absl::string_view id) override { return queries_.Explain(id); }
  absl::Status Recover() override;
  absl::Status Ready() const override { return systemd_.answer(); }
  std::vector<v1::RuntimeHandler> Handlers() const override;
  int PodCount() const override { return static_cast<int>(table_.PodCount()); }

  // For the metrics: the present numbers, and the counts since the start.
  const PodQueries& queries() const { return queries_; }
  uint64_t DroppedEvents() const { return events_.publisher.dropped(); }
  uint64_t OomKills() const { return events_.ooms.count(); }
  size_t StuckPathHelpers() const { return node_->paths->Stuck(); }

  // For the streaming server's sessions.
  PodTable& table() { return table_; }
  Executions& executions() { return executions_; }

  // Called when the store has removed the image. Afterwards only containers keep its layers.
  void ForgetImage(const std::string& image_id) { pods_.spares.roots().Drop(image_id); }

 private:
  struct Queues {
    WorkQueue cleanup{4};  // undoes; a job may wait for a plug-in for minutes
    WorkQueue chores{2};   // what the node needs now and then, whatever is being undone
    WorkQueue quick{4};
    WorkQueue adoptions{8};  // waits for shims, so that nobody else does
  };
  // The observers of pods' lives, besides the classes that bring them about.
  struct Observers {
    Observers(const NodeContext& node,
              PodTable& table,
              Queues& queues,
              RemoveOnExit::RemovePod remove_pod);
    OomCounter ooms;
    MemoryTrimmer trimmer;
    Sampler sampler;
    EventPublisher publisher;
    RemoveOnExit remove_on_exit;
    const PodEvents list;
  };
  // The classes for a container's life, except its beginning.
  struct Containers {
    Containers(const NodeContext& node,
               PodTable& table,
               Executions& executions,
               Observers& events,
               Queues& queues);
    ResourceUpdates updates;
    ContainerExits exits;
    ContainerStopper stopper;
    ContainerStarter starter;
    ContainerRemover remover;
    ContainerPauser pauser;
  };
  // The classes for a pod's life, and for making its containers.
  struct Pods {
    Pods(const NodeContext& node,
         PodTable& table,
         ShimKeeper& shims,
         Containers& containers,
         Observers& events,
         Queues& queues);
    CgroupClaims claims;
    SelinuxLabels labels;
    Spares spares;
    PodEnder ender;
    PodRunner runner;
    ContainerMaker maker;
  };

  PodManager(std::unique_ptr<const NodeContext> node,
             std::unique_ptr<RecordStore> records,
             const MakeRuntimes& make_runtimes);

  // The members stand in the order in which they are made. Each uses only those above it.
  const std::unique_ptr<const NodeContext> node_;
  Queues queues_;
  PodTable table_;
  Observers events_;
  const PodQueries queries_;
  const StatsReader stats_;
  Executions executions_;
  Containers containers_;
  ShimKeeper shims_;
  Pods pods_;
  Recovery recovery_;
  SystemdWatch systemd_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_POD_MANAGER_H_
