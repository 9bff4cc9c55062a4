#ifndef CRISP_RUNTIME_CLIENT_SHIM_CLIENT_H_
#define CRISP_RUNTIME_CLIENT_SHIM_CLIENT_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/operation.h"
#include "base/unique_fd.h"
#include "runtime/handler/processes.h"
#include "runtime/handler/spare_pods.h"
#include "runtime/plan/launch_plan.h"

namespace crisp::runtime {

// What a shim reads, see wire/wire.h and wire/plan_schema.h. Shims of the first release do not say
// it.
struct ShimVersions {
  uint16_t wire = 1;
  uint16_t plan = 3;
  bool operator==(const ShimVersions&) const = default;
};

// Daemon side of one pod's shim. Thread-safe; calls block until the shim answered (it is
// single-threaded, so they queue behind each other) or `operation` ends, in which case the shim
// still finishes the operation, but a process that it starts then is killed. Calls that take no
// Operation have a deadline of their own (shim_deadlines.h) and then say DeadlineExceeded: such a
// shim hangs. Unavailable when the shim is gone or the connection is (alive() tells which).
// FailedPrecondition naming what is asked for and a shim of an earlier release does not know: such
// a shim is replaced only with its pod.
class Shim {
 public:
  virtual ~Shim() = default;

  virtual pid_t pid() const = 0;
  // True if its process lives, by its pidfd. A connection that has ended proves nothing.
  virtual bool alive() const = 0;
  // True if calls can reach it.
  virtual bool connected() const = 0;
  virtual ShimVersions versions() const { return {}; }
  // The pod's network namespace and a NETLINK_ROUTE socket inside; -1 if the pod uses the host's.
  virtual int netns_fd() const = 0;
  virtual int rtnl_fd() const = 0;
  // The pod's user namespace; -1 if it has none.
  virtual int userns_fd() const = 0;
  // The directory in which the pod's files for /etc are to be made, on a small file system of the
  // pod's own ("hostname" there is the mount source "pod:hostname"). Call it once, after
  // StartPod(). Invalid later, and for shims that have none.
  virtual UniqueFd TakeFiles() = 0;
  // The key of the network that PrepareSpares() has made in the pod's namespace; empty for none.
  virtual const std::string& prepared_network() const = 0;

  // Builds the container's root and mounts detached, and opens its log. Undone on failure. `root`
  // is an overlay as the plan describes it, already mounted (see detached_overlay.h), borrowed; -1
  // for none. `meanwhile`, if any, runs while the shim does that. It makes what only the
  // container's process needs, its cgroups, and its failure is the call's.
  virtual absl::Status CreateContainer(const ContainerPlan& plan,
                                       int root,
                                       const Operation& operation,
                                       const std::function<absl::Status()>& meanwhile) = 0;
  absl::Status CreateContainer(const ContainerPlan& plan, const Operation& operation) {
    return CreateContainer(plan, -1, operation, nullptr);
  }
  // Clones and execs. An error says which step failed in the child and why; the container is then
  // Exited(128) in the shim. FailedPrecondition unless created. NotFound.
  virtual absl::StatusOr<StartedProcess> StartContainer(absl::string_view container_id,
                                                        const Operation& operation) = 0;
  // Signals init only. OK if it has exited already.
  virtual absl::Status Signal(absl::string_view container_id, int signal) = 0;
  // Forgets a created or exited container: closes its log, mounts and stdio. FailedPrecondition
  // while it runs. An unknown one is OK.
  virtual absl::Status RemoveContainer(absl::string_view container_id) = 0;
  // Reopens the log. Returns once the new file is in use. FailedPrecondition unless running.
  virtual absl::Status ReopenLog(absl::string_view container_id) = 0;

  // Starts a process in a running container. The pool's observer is told of its end.
  virtual absl::StatusOr<StartedProcess> Exec(const ExecPlan& plan,
                                              const Stdio& stdio,
                                              const Operation& operation) = 0;
  // Kills an exec with everything that it has started, and nothing else. Returns when all have been
  // sent their SIGKILL. An exec is in the container's own cgroups, and gets a cgroup namespace of
  // its own if the container has one: by that, daemonised children are found too. Without one (a
  // container among the host's cgroups, or one whose first process has moved further down) its
  // session and all descendants die; without ExecPlan::cgroup_dirs its process group. OK if it has
  // ended already or is unknown: processes that it has left behind by then are the container's.
  virtual absl::Status KillExec(absl::string_view exec_id) = 0;
  // Gives copies of the output from now on, and the container's stdin. Ends when the other side
  // closes the fds or the container exits.
  virtual absl::Status Attach(absl::string_view container_id, const Stdio& stdio) = 0;
  // An empty `exec_id` stands for the container's own terminal.
  virtual absl::Status ResizeTerminal(absl::string_view container_id,
                                      absl::string_view exec_id,
                                      uint16_t rows,
                                      uint16_t columns) = 0;

  virtual absl::StatusOr<std::vector<ContainerReport>> Report() = 0;

  // Makes the shim keep copies of these open until it ends, unused. Borrowed during the call.
  virtual absl::Status Keep(const std::vector<int>& fds, const Operation& operation) = 0;

  // Ends the shim, and with it the pod's namespaces. Every container must have exited
  // (FailedPrecondition). Returns when the process is gone. One that does not answer within ten
  // seconds is killed. Idempotent.
  virtual absl::Status Shutdown() = 0;
  // Ends the shim without asking it, and with it everything that it has started. Waits until it is
  // gone. DeadlineExceeded if that takes too long (a process in uninterruptible sleep).
  virtual absl::Status Kill() = 0;
};

// Hears the news of shims, from one thread of the pool. Handlers must be quick and may call nothing
// of the same pool that blocks.
class ShimObserver {
 public:
  virtual ~ShimObserver() = default;
  virtual void OnContainerExit(absl::string_view pod_id,
                               absl::string_view container_id,
                               const ExitRecord& record) = 0;
  virtual void OnExecExit(absl::string_view pod_id,
                          absl::string_view exec_id,
                          const ExitRecord& record) = 0;
  // The shim process is gone without Shutdown(). The kernel has killed its containers (PDEATHSIG),
  // or is about to.
  virtual void OnShimDeath(absl::string_view pod_id) = 0;
  // The connection has ended; the process lives. Calls say Unavailable until AdoptPod() has
  // connected again. The shim kills the execs that went over the connection.
  virtual void OnShimLost(absl::string_view pod_id) { (void)pod_id; }
};

struct ShimPoolOptions {
  std::string shim_binary;   // copied once into a sealed memfd, from which all shims run
  std::string storage_root;  // bind-visible in the shim's minimal mount namespace
  // The number of shims that wait with a pod's namespaces made, for pods that need no others.
  // Making them takes the kernel longer than everything else for which RunPodSandbox waits. They
  // end with the pool.
  int spares = 0;
  // Bytes per second that the containers of one pod may log together; faster ones wait. 0 for no
  // bound.
  uint64_t log_rate = 0;
  // The plan of most pods. Its sysctls are set and its /dev/shm is mounted in the spares. Pods that
  // leave out one of those sysctls get no spare; those that want another value do.
  PodPlan usual = {};
};

// Starts and finds shims. One poll thread for all of them.
class ShimPool {
 public:
  static absl::StatusOr<std::unique_ptr<ShimPool>> Create(ShimPoolOptions options,
                                                          ShimObserver* observer);
  virtual ~ShimPool() = default;

  // Starts a pod's shim with its namespaces, or gives the pod a spare. It gives one with a prepared
  // network only if `prepared` allows it. Undone on failure. `meanwhile`, if any, runs while the
  // shim sets itself up, because the kernel takes its time for a network namespace; its failure is
  // the call's.
  virtual absl::StatusOr<std::shared_ptr<Shim>> StartPod(
      const PodPlan& plan,
      const Operation& operation,
      const std::function<absl::Status()>& meanwhile = nullptr,
      bool prepared = false) = 0;
  // Replaces the spares that were taken, without waiting for the new ones. It is no part of
  // StartPod(), because the kernel makes network namespaces and links one at a time, and the pod's
  // own links come first.
  virtual void AddSpares() = 0;
  // Calls `prepare` for each spare for which it has not succeeded yet, with a key of the spare's
  // own. It waits for those that are just starting, a tenth of a second in all (DeadlineExceeded:
  // not all are ready). The first failure ends it. No pod gets a spare that is being prepared. A
  // spare that ends, or is never taken, takes its namespace along.
  virtual absl::Status PrepareSpares(const PrepareNetwork& prepare) = 0;
  // Connects (again) to a shim that an earlier daemon started, or whose connection has ended.
  // NotFound if it is proven not to be alive: its exit records (ReadExitRecord) then tell what
  // became of the containers. FailedPrecondition if it lives but nobody can reach it, because its
  // socket is gone.
  virtual absl::StatusOr<std::shared_ptr<Shim>> AdoptPod(absl::string_view pod_id,
                                                         const std::string& state_dir,
                                                         const Operation& operation) = 0;
  // Kills every shim whose pod has `state_dir`, reachable or not, as the kernel knows it
  // (shim_finder.h). OK if none lives any more.
  virtual absl::Status EndPod(const std::string& state_dir, const Operation& operation) = 0;
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CLIENT_SHIM_CLIENT_H_
