#ifndef CRISP_CRI_STATE_POD_H_
#define CRISP_CRI_STATE_POD_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/operation.h"
#include "base/unique_fd.h"
#include "cri/api/api.pb.h"
#include "cri/api/crisp_state.pb.h"
#include "cri/state/level_lease.h"
#include "cri/state/serialized_items.h"
#include "cri/state/step_timer.h"
#include "cri/state/view.h"
#include "cri/stats/cpu_window.h"
#include "runtime/handler/pod_handle.h"
#include "runtime/handler/pod_runtime.h"
#include "runtime/oci/oci_spec.h"

namespace crisp::cri {

namespace v1 = ::runtime::v1;

struct Container;

// The reason in the row of a container whose start has failed.
inline constexpr char kStartError[] = "StartError";

// A pod in memory. `record` is what the state database holds of it. It is replaced as a whole, so
// that a reader needs no copy. Only PodTable replaces it. `mutex` guards the members for moments
// only and is never held across a call that waits. `save_mutex` orders the writes of rows; it is
// taken before `mutex`.
struct Pod {
  const std::string id;
  const std::string name_key;
  // Of its record's type. Null only where no request can reach the pod.
  runtime::PodRuntime* const runtime;
  const bool of_operator;  // as its record says for good

  absl::Mutex save_mutex ABSL_ACQUIRED_BEFORE(mutex);
  mutable absl::Mutex mutex;
  std::shared_ptr<const state::PodRecord> record ABSL_GUARDED_BY(mutex);
  mutable SerializedItem<state::PodRecord> list_item ABSL_GUARDED_BY(mutex);
  // Null: not started, stopped, dead, or not connected (any more).
  std::shared_ptr<runtime::PodHandle> handle ABSL_GUARDED_BY(mutex);
  // It is being connected to in the background.
  bool adopting ABSL_GUARDED_BY(mutex) = false;
  // The number of containers that are being made in it. None begins once the pod is not ready any
  // more.
  int creations ABSL_GUARDED_BY(mutex) = 0;
  // True once the row has been erased. It must not come back.
  bool erased ABSL_GUARDED_BY(save_mutex) = false;
  // The containers that clients can see. Each keeps its pod.
  std::vector<std::weak_ptr<Container>> containers ABSL_GUARDED_BY(mutex);
  CpuWindow cpu ABSL_GUARDED_BY(mutex);
  // Held as long as there is a row.
  LevelLease level ABSL_GUARDED_BY(mutex);
  StepLog steps;

  Pod(state::PodRecord initial, std::string key, runtime::PodRuntime* of = nullptr)
      : id(initial.id()),
        name_key(std::move(key)),
        runtime(of),
        of_operator(initial.of_operator()),
        record(std::make_shared<const state::PodRecord>(std::move(initial))) {}

  bool ShownIn(View view) const { return view == View::kOperator || !of_operator; }

  std::shared_ptr<const state::PodRecord> Snapshot() const {
    absl::MutexLock lock(&mutex);
    return record;
  }
  std::shared_ptr<runtime::PodHandle> Handle() const {
    absl::MutexLock lock(&mutex);
    return handle;
  }
  // The same; while it is being connected to, waits so long for that.
  std::shared_ptr<runtime::PodHandle> AwaitHandle(absl::Duration patience) const {
    absl::MutexLock lock(&mutex);
    const auto settled = [this] {
      mutex.AssertReaderHeld();
      return handle != nullptr || !adopting;
    };
    mutex.AwaitWithTimeout(absl::Condition(&settled), patience);
    return handle;
  }
  bool Adopting() const {
    absl::MutexLock lock(&mutex);
    return adopting;
  }
  bool Ready() const {
    absl::MutexLock lock(&mutex);
    return record->stage() == state::PodRecord::READY;
  }
};

// A container in memory; the same rules. Its spec is not: see PodTable::SpecOf().
struct Container {
  const std::string id;
  const std::string name_key;
  const std::shared_ptr<Pod> pod;

  // Orders UpdateContainerResources calls. Taken before the others, and held across cgroup writes.
  absl::Mutex update_mutex ABSL_ACQUIRED_BEFORE(save_mutex);
  absl::Mutex save_mutex ABSL_ACQUIRED_BEFORE(mutex);
  mutable absl::Mutex mutex;
  std::shared_ptr<const state::ContainerRecord> record ABSL_GUARDED_BY(mutex);
  mutable SerializedItem<state::ContainerRecord> list_item ABSL_GUARDED_BY(mutex);
  // What an exec starts with; after a restart unset until the first one: see Executions.
  std::shared_ptr<const runtime::ExecBase> exec_base ABSL_GUARDED_BY(mutex);
  // Who has the word beside what the stage says: PodTable::BeginStart(), BeginEnd().
  enum class Phase {
    kSettled,
    kStarting,  // the starter decides what becomes of it
    kEnding,    // the first that knew of its end tells it
  };
  Phase phase ABSL_GUARDED_BY(mutex) = Phase::kSettled;
  bool removing ABSL_GUARDED_BY(mutex) = false;
  // The pidfd of its first process, while it runs; null if there was none to be had.
  std::shared_ptr<const UniqueFd> pidfd ABSL_GUARDED_BY(mutex);
  // As in Pod.
  bool erased ABSL_GUARDED_BY(save_mutex) = false;
  // An exit that was told before the start had returned.
  std::optional<runtime::ExitRecord> early_exit ABSL_GUARDED_BY(mutex);
  // Cancels its start; null when nobody starts it. Not to be cancelled under `mutex`.
  std::shared_ptr<CancelSource> starting ABSL_GUARDED_BY(mutex);
  // The earliest time that any StopContainer set for SIGKILL.
  absl::Time kill_at ABSL_GUARDED_BY(mutex) = absl::InfiniteFuture();
  bool signalled ABSL_GUARDED_BY(mutex) = false;
  // The reason why the last round of killing left something alive.
  std::string kill_error ABSL_GUARDED_BY(mutex);
  CpuWindow cpu ABSL_GUARDED_BY(mutex);
  // True if it may have written since its writable layer was measured. True for one that was not
  // looked at yet.
  bool written ABSL_GUARDED_BY(mutex) = true;
  // The number of its OOM kills that are counted; unset if it ran before this daemon did.
  std::optional<uint64_t> oom_kills_seen ABSL_GUARDED_BY(mutex);
  // As in Pod, if the level is not the pod's.
  LevelLease level ABSL_GUARDED_BY(mutex);
  StepLog steps;

  Container(state::ContainerRecord initial, std::string key, std::shared_ptr<Pod> owner)
      : id(initial.id()),
        name_key(std::move(key)),
        pod(std::move(owner)),
        record(std::make_shared<const state::ContainerRecord>(std::move(initial))) {}

  std::shared_ptr<const state::ContainerRecord> Snapshot() const {
    absl::MutexLock lock(&mutex);
    return record;
  }
  std::shared_ptr<const UniqueFd> Pidfd() const {
    absl::MutexLock lock(&mutex);
    return pidfd;
  }
  state::ContainerRecord::Stage Stage() const {
    absl::MutexLock lock(&mutex);
    return record->stage();
  }
  // True if it runs, or will in a moment if its start succeeds.
  bool Runs() const ABSL_SHARED_LOCKS_REQUIRED(mutex) {
    return record->stage() == state::ContainerRecord::RUNNING || phase == Phase::kStarting;
  }
};

// OK, or the refusal, with the pod's handler, of what its runtime cannot do.
absl::Status Can(const Pod& pod, runtime::Verb verb);
// `record` is borrowed: a container's snapshot.
inline runtime::ContainerRef RefTo(const Pod& pod, const state::ContainerRecord& record) {
  return {.pod_id = pod.id, .id = record.id(), .cgroups_path = record.cgroup_path()};
}

// The keys of one pod's or container's name among all: parts are length-prefixed, so that no choice
// of names makes two keys equal. The operator's pods have names of their own, so that none of them
// takes a name from the kubelet, which could not see why.
std::string PodNameKey(const v1::PodSandboxMetadata& metadata, View made_in = View::kKubelet);
std::string PodNameKey(const state::PodRecord& record);
std::string ContainerNameKey(const std::string& pod_id, const v1::ContainerMetadata& metadata);

}  // namespace crisp::cri

#endif  // CRISP_CRI_STATE_POD_H_
