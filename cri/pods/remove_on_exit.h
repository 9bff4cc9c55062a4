#ifndef CRISP_CRI_PODS_REMOVE_ON_EXIT_H_
#define CRISP_CRI_PODS_REMOVE_ON_EXIT_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "cri/state/pod_events.h"
#include "cri/state/pod_table.h"
#include "cri/state/work_queue.h"

namespace crisp::cri {

// True if a pod that goes with its last container is to go. `containers` are those that it has.
// `has_run` says that one which it has no longer had been started. Pure.
bool HasRunItsCourse(bool pod_ready,
                     bool has_run,
                     const std::vector<state::ContainerRecord>& containers);

// Removes the operator's pods with the annotation io.crisp.remove-on-exit when their last container
// has exited. A container that is created and not started yet keeps its pod. It hears of an exit as
// every observer does, and of one while the daemon was away by LookAtAll(). Thread-safe.
class RemoveOnExit final : public LifeObserver {
 public:
  // Stops and removes the pod, and waits for that.
  using RemovePod = std::function<absl::Status(const PodPtr& pod)>;
  // All outlive it. Jobs of `background` use it.
  RemoveOnExit(PodTable& table, WorkQueue& background, RemovePod remove)
      : table_(table), background_(background), remove_(std::move(remove)) {}

  // Waits for the row of such a pod at the start of its first container, and else for nothing.
  void On(const LifeEvent& event) override;
  // For the daemon's start, when the records have been read.
  void LookAtAll();

 private:
  void LookAt(const PodPtr& pod);
  absl::Status Remove(const PodPtr& pod);

  PodTable& table_;
  WorkQueue& background_;
  const RemovePod remove_;
  absl::Mutex mutex_;
  // The pods whose removal is under way.
  absl::flat_hash_set<std::string> going_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_PODS_REMOVE_ON_EXIT_H_
