#ifndef CRISP_CRI_PODS_SHIM_KEEPER_H_
#define CRISP_CRI_PODS_SHIM_KEEPER_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cri/containers/container_exits.h"
#include "cri/containers/container_remover.h"
#include "cri/containers/executions.h"
#include "cri/containers/node_context.h"
#include "cri/state/pod_events.h"
#include "cri/state/pod_table.h"
#include "cri/state/work_queue.h"
#include "runtime/handler/handler_table.h"

namespace crisp::cri {

// Makes the runtimes of the node, which tell `observer` what happens in their pods. The first
// serves pods that name no handler.
using MakeRuntimes =
    std::function<absl::StatusOr<std::vector<std::unique_ptr<runtime::PodRuntime>>>(
        const NodeContext& node, runtime::PodObserver* observer)>;

// Holds on to the shims: connects to those of an earlier daemon, and to those whose connection has
// broken, takes over what they say of their containers, and hears what they tell. Thread-safe.
class ShimKeeper final : public runtime::PodObserver {
 public:
  // The arguments outlive it. Jobs of `quick` and `adoptions`, which wait for shims, use it.
  ShimKeeper(const NodeContext& node,
             PodTable& table,
             ContainerExits& exits,
             Executions& executions,
             ContainerRemover& remover,
             const PodEvents& events,
             WorkQueue& quick,
             WorkQueue& adoptions,
             const MakeRuntimes& make_runtimes)
      : node_(node),
        table_(table),
        exits_(exits),
        executions_(executions),
        remover_(remover),
        events_(events),
        quick_(quick),
        adoptions_(adoptions),
        handlers_(MakeHandlers(make_runtimes)) {}

  // Why there are no handlers; then nothing else may be called.
  absl::Status status() const { return handlers_.status(); }
  runtime::HandlerTable& handlers() const { return **handlers_; }

  // Connects to the pod's shim in the background, until that has succeeded or is no longer needed.
  // Until then the pod is Adopting(). `first` is called after the first try.
  void Adopt(const PodPtr& pod, std::function<void()> first = nullptr);
  // Gives up the waiting for shims.
  void StopAdopting() { stopping_.Cancel(); }
  // Looks at a pod that clients see since a moment ago: its shim may have died, or the connection
  // may have ended, while nobody could be told.
  void LookAt(const PodPtr& pod);

  void OnContainerExit(absl::string_view pod_id,
                       absl::string_view container_id,
                       const runtime::ExitRecord& record) override;
  void OnExecExit(absl::string_view pod_id,
                  absl::string_view exec_id,
                  const runtime::ExitRecord& record) override;
  void OnPodDeath(absl::string_view pod_id) override;
  void OnPodLost(absl::string_view pod_id) override;

 private:
  absl::StatusOr<std::unique_ptr<runtime::HandlerTable>> MakeHandlers(
      const MakeRuntimes& make_runtimes);
  void AdoptSoon(const PodPtr& pod, std::function<void()> first);
  void HandleDeath(const PodPtr& pod);
  // Connects again, in the background.
  void HandleLost(const PodPtr& pod);
  // Records that the pod's shim cannot be reached, so that no request finds it any more. With
  // `dead` its process has ended, too.
  absl::Status RecordUnreachable(Pod& pod, bool dead);
  // Connects to the shim and takes over what it says of the pod's containers. OK also if that is no
  // longer needed, or impossible for good.
  absl::Status AdoptNow(const PodPtr& pod, absl::Duration patience);
  absl::Status GiveUp(const PodPtr& pod, const absl::Status& why);
  // shim_reports.cc
  absl::Status TakeOver(const PodPtr& pod, const std::shared_ptr<runtime::PodHandle>& handle);
  // Those of the reports whose containers have no row: it was lost.
  absl::StatusOr<std::vector<runtime::ContainerReport>> UnknownOf(
      runtime::PodHandle& handle, const std::vector<runtime::ContainerReport>& reports) const;
  // Shows such a container if it runs, so that it can be ended; else undoes it.
  void TakeUnknown(const PodPtr& pod, runtime::ContainerReport& report);
  // These take the report's pidfd.
  void HoldProcess(Container& container, runtime::ContainerReport& report);
  void Reconcile(const ContainerPtr& container, runtime::ContainerReport* report);
  void ReconcileRunning(const ContainerPtr& container, runtime::ContainerReport& report);

  const NodeContext& node_;
  PodTable& table_;
  ContainerExits& exits_;
  Executions& executions_;
  ContainerRemover& remover_;
  const PodEvents& events_;
  WorkQueue& quick_;
  WorkQueue& adoptions_;
  CancelSource stopping_;
  // Declared last: the runtimes' threads call what is above.
  const absl::StatusOr<std::unique_ptr<runtime::HandlerTable>> handlers_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_SHIM_KEEPER_H_
