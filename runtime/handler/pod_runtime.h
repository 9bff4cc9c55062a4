#ifndef CRISP_RUNTIME_HANDLER_POD_RUNTIME_H_
#define CRISP_RUNTIME_HANDLER_POD_RUNTIME_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/operation.h"
#include "runtime/cgroup/cgroup_stats.h"
#include "runtime/handler/features.h"
#include "runtime/handler/pod_handle.h"
#include "runtime/handler/processes.h"
#include "runtime/handler/spare_pods.h"
#include "runtime/oci/oci_spec.h"
#include "runtime/oci/pod_spec.h"

namespace crisp::runtime {

// Finds and ends the pods of one type of runtime, as the kernel knows them: for when no record
// leads to one, and when no daemon runs. Looks at every process of the machine: not for a path that
// is to be quick.
class PodFinder {
 public:
  virtual ~PodFinder() = default;
  // Those that live and have a directory <pods_dir>/<pod id>, there or removed. `pod_id` empty: of
  // all pods.
  virtual absl::StatusOr<std::vector<FoundPod>> Find(const std::string& pods_dir,
                                                     const std::string& pod_id) const = 0;
  // Kills those, and waits until they are gone: DeadlineExceeded naming the first that is not.
  // Their containers die with them.
  virtual absl::Status End(const std::string& pods_dir,
                           const std::string& pod_id,
                           const Operation& operation) const = 0;
};

// Hears what happens in pods, on a thread of the runtime's. The methods must be quick and may call
// nothing of the same runtime that blocks.
class PodObserver {
 public:
  virtual ~PodObserver() = default;
  virtual void OnContainerExit(absl::string_view pod_id,
                               absl::string_view container_id,
                               const ExitRecord& record) = 0;
  virtual void OnExecExit(absl::string_view pod_id,
                          absl::string_view exec_id,
                          const ExitRecord& record) = 0;
  // The process that holds the pod is gone without Shutdown(); its containers have been killed or
  // are being so.
  virtual void OnPodDeath(absl::string_view pod_id) = 0;
  // The connection has ended, the process lives. Calls say Unavailable until AdoptPod() has
  // connected again; the execs that went over the connection are killed.
  virtual void OnPodLost(absl::string_view pod_id) = 0;
};

// A container as it is recorded. A runtime finds it by that when its pod does not answer.
struct ContainerRef {
  absl::string_view pod_id;
  absl::string_view id;
  const std::string& cgroups_path;  // from its spec
};

// The circumstances of a pod's start.
struct PodStart {
  // Runs while the runtime works, at the latest before StartPod() returns. Its failure is the
  // call's. May be null.
  std::function<absl::Status()> meanwhile;
  // The pod may be one that was made ahead and whose network has been prepared.
  bool prepared_network = false;
};

// One type of runtime. It runs the pods whose handlers are of that type. The seam is the OCI spec:
// the caller decides what a container is to be, and the runtime decides how it comes to be that.
// Thread-safe.
//
// A pod's life: StartPod(), then for each container Create() → Start() → its exit, told to the
// observer → Delete() and CleanUp(), at last Shutdown(). The pod outlives the daemon: the next one
// calls AdoptPod() with the same directory and compares Report() with what it has recorded.
//
// A call that takes a ContainerRef works whether or not the container's pod can be reached, as far
// as the runtime can do that: a pod that hangs is ended all the same.
class PodRuntime {
 public:
  explicit PodRuntime(std::string type) : type_(std::move(type)) {}
  virtual ~PodRuntime() = default;
  PodRuntime(const PodRuntime&) = delete;
  PodRuntime& operator=(const PodRuntime&) = delete;

  // The type, as the configuration names it. It is recorded with each pod.
  const std::string& type() const { return type_; }
  virtual const Features& features() const = 0;
  // OK, or the reason why nothing can be done with the pods of this type. It is asked before they
  // are ended.
  virtual absl::Status Usable() const { return absl::OkStatus(); }
  // OK, or the refusal of a verb that this runtime does not have (Lacks()). Asked where a client's
  // request comes in, before anything is done.
  absl::Status Can(Verb verb) const {
    return features().verbs.Has(verb) ? absl::OkStatus() : Lacks(type_, verb);
  }
  // Begins work that is only done ahead of need. Called once, when requests are being answered.
  virtual void WarmUp() {}
  // Null if it makes none.
  virtual SparePods* spares() { return nullptr; }

  // InvalidArgument for what cannot be, FailedPrecondition for what this node does not do. Undone
  // on failure.
  virtual absl::StatusOr<std::shared_ptr<PodHandle>> StartPod(const PodSpec& spec,
                                                              const PodStart& how,
                                                              const Operation& operation) = 0;
  // Connects (again) to a pod that an earlier daemon started, or whose connection has ended.
  // `state_dir` is its spec's. NotFound when it is proven not to be alive: its exit records then
  // tell what became of the containers. FailedPrecondition when it lives and nobody can reach it
  // any more.
  virtual absl::StatusOr<std::shared_ptr<PodHandle>> AdoptPod(absl::string_view pod_id,
                                                              const std::string& state_dir,
                                                              const Operation& operation) = 0;
  // Kills the pod that has `state_dir`, whether it can be reached or not, as the kernel knows it.
  // OK when it does not live any more.
  virtual absl::Status EndPod(const std::string& state_dir, const Operation& operation) = 0;
  // Finds the pods of this type.
  virtual const PodFinder& finder() const = 0;

  // Makes the ExecBase of a container whose spec was recorded or has changed; Create() gives it for
  // one that it makes. Pure.
  virtual absl::StatusOr<std::shared_ptr<const ExecBase>> MakeExecBase(const OciSpec& spec) = 0;

  // SIGKILLs all processes of the container, once, without waiting for them to be gone.
  virtual absl::Status KillOnce(const ContainerRef& container) = 0;
  // The same until none is left. OK when there is none; DeadlineExceeded when `operation` fires
  // first: call again.
  virtual absl::Status KillAll(const ContainerRef& container, const Operation& operation) = 0;
  // True if it has no process (any more).
  virtual absl::StatusOr<bool> IsEmpty(const ContainerRef& container) = 0;
  // Removes the cgroup, or whatever else the runtime has on the host, of a container that was
  // deleted or whose pod has ended. FailedPrecondition while it has processes. OK if there is
  // nothing.
  virtual absl::Status CleanUp(const ContainerRef& container, const Operation& operation) = 0;

  // Verb::kPause. Returns when nothing in it runs, or everything may run again. A paused container
  // can be killed.
  virtual absl::Status Pause(const ContainerRef& container, const Operation& operation);
  virtual absl::Status Resume(const ContainerRef& container, const Operation& operation);
  // Verb::kPause. True between the two, also for a later daemon. False for a container that is
  // gone.
  virtual absl::StatusOr<bool> IsPaused(const ContainerRef& container);
  // Verb::kUpdate. Applies the members that `change` sets, all or nothing. FailedPrecondition when
  // the container uses more than it would be left with.
  virtual absl::Status Update(const ContainerRef& container, const OciResources& change);
  // Verb::kStats. NotFound when the container is gone.
  virtual absl::StatusOr<CgroupStats> Stats(const ContainerRef& container);
  // Verb::kStats. Two of the numbers, for callers that ask often.
  virtual absl::StatusOr<uint64_t> CpuUsageNs(const ContainerRef& container);
  virtual absl::StatusOr<uint64_t> OomKills(const ContainerRef& container);

 private:
  const std::string type_;
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_HANDLER_POD_RUNTIME_H_
