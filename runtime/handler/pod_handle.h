#ifndef CRISP_RUNTIME_HANDLER_POD_HANDLE_H_
#define CRISP_RUNTIME_HANDLER_POD_HANDLE_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json.h"
#include "base/lower.h"
#include "base/operation.h"
#include "base/unique_fd.h"
#include "runtime/handler/processes.h"
#include "runtime/oci/crisp_mounts.h"
#include "runtime/oci/oci_spec.h"
#include "runtime/oci/pod_spec.h"

namespace crisp::runtime {

// The properties that all processes of a container have in common, in the form that its runtime has
// made of the spec: without argv and terminal. Only that runtime can read it.
class ExecBase {
 public:
  virtual ~ExecBase() = default;
};

// A container that is to be made. Everything is borrowed for the call.
struct NewContainer {
  const std::string& id;
  // The whole spec: the runtime decides nothing that the specification has words for. It has the
  // resources and the cgroup's path. It may have the mounts of crisp_mounts.h, which a runtime that
  // hands the spec on to somebody else has to replace.
  const OciSpec& spec;
  // The pod's namespaces, by the paths that the spec has.
  const PodNamespaces& namespaces;

  // The root: an overlay of these trees, topmost first. Without an upper directory it is read-only.
  const std::vector<Lower>& lower_dirs;
  const std::string& upper_dir;
  const std::string& work_dir;
  // The same overlay, already mounted (detached_overlay.h), or -1. A runtime need not take it.
  int root_mount = -1;
  // The layers of the spec's mounts of kImageMountType, by the mounts' sources.
  const std::map<std::string, ImageVolume>& image_volumes;
  // The path of a device in the container → its path on the host, where they differ.
  const std::map<std::string, std::string>& device_sources;

  // The log, in the CRI's format. Empty if there is none. Symbolic links are followed in the
  // directories before a "/./", which are trusted; without a "/./" in all of them.
  std::string log_path;
  bool stdin_open = false;  // keep a stdin for attach
  bool stdin_once = false;  // the first attach that ends closes it
  // The path of the record of its end, see ReadExitRecord().
  std::string exit_record;
  // The container may make cgroups below its own, and its root owns its cgroup.
  bool owns_cgroup = false;

  // Called after each step with its name, a literal, to measure it. May be null.
  std::function<void(const char* step)> done;
};

// A process that is to be started in a running container.
struct NewExec {
  std::string id;  // of the exec, for its exit and KillExec()
  const std::string& container_id;
  const std::string& cgroups_path;  // the container's, from its spec
  const std::vector<std::string>& argv;
  bool terminal = false;
  const ExecBase& base;  // of this container's spec: PodRuntime::MakeExecBase()
};

// One pod that a runtime has started or adopted. Dropping it ends nothing. Thread-safe. Calls block
// until they are answered or `operation` fires; then the runtime may finish the operation all the
// same, but a process that it starts then is killed. Calls that take no Operation have a deadline
// of their own and then say DeadlineExceeded: such a pod hangs. Unavailable when the pod's process
// is gone or cannot be reached (alive() tells which). FailedPrecondition naming what is asked for
// when this one pod cannot do what its runtime can: it was started by an earlier release.
class PodHandle {
 public:
  virtual ~PodHandle() = default;

  // A process on the host that holds the pod. /proc/<pid>/ns has the pod's namespaces, its PID
  // namespace as pid_for_children.
  virtual pid_t pid() const = 0;
  // True if that process lives. A connection that has ended proves nothing.
  virtual bool alive() const = 0;
  // True if calls can reach it.
  virtual bool connected() const = 0;
  // The pod's network namespace, and a NETLINK_ROUTE socket inside; -1 where the pod uses the
  // host's. Without the socket the network makes one.
  virtual int netns_fd() const = 0;
  virtual int rtnl_fd() const { return -1; }
  // Once, after StartPod(): the directory in which the pod's files for /etc are to be made
  // ("hostname" there is the mount source "pod:hostname" of crisp_mounts.h). Invalid later, and of
  // runtimes that have none: the files are then made in the daemon's state directory and bound from
  // there, where containers that may write to them can fill it.
  virtual UniqueFd TakeFiles() { return UniqueFd(); }
  // The key of what SparePods::Prepare() has made in the pod's network namespace; empty: nothing.
  virtual const std::string& prepared_network() const;
  // Adds members to a verbose status, for people.
  virtual void Describe(Json& info) const { (void)info; }

  // Makes the container: its cgroup with its limits, its root and mounts, its log; the process is
  // started by Start(). Undone on failure but for the cgroup, which PodRuntime::CleanUp() removes.
  virtual absl::StatusOr<std::shared_ptr<const ExecBase>> Create(const NewContainer& container,
                                                                 const Operation& operation) = 0;
  // An error says which step failed and why; the container has then ended. FailedPrecondition
  // unless created. NotFound.
  virtual absl::StatusOr<StartedProcess> Start(absl::string_view container_id,
                                               const Operation& operation) = 0;
  // Sends the signal to init alone. OK if it has exited already.
  virtual absl::Status Signal(absl::string_view container_id, int signal) = 0;
  // Forgets a created or exited container: closes its log, mounts and stdio. FailedPrecondition
  // while it runs. Unknown: OK.
  virtual absl::Status Delete(absl::string_view container_id) = 0;
  // Tells of all containers that are not deleted.
  virtual absl::StatusOr<std::vector<ContainerReport>> Report() = 0;

  // Verb::kReopenLog. Returns once the new file is in use. FailedPrecondition unless running.
  virtual absl::Status ReopenLog(absl::string_view container_id);
  // Verb::kExec. The observer's OnExecExit() tells its end.
  virtual absl::StatusOr<StartedProcess> Exec(const NewExec& exec,
                                              const Stdio& stdio,
                                              const Operation& operation);
  // Verb::kExec. Kills an exec with everything that it has started, and nothing else; returns when
  // all have been sent their SIGKILL. OK when it has ended already or is unknown.
  virtual absl::Status KillExec(absl::string_view exec_id);
  // Verb::kAttach. Copies of the output from now on, and the container's stdin. Ends when the fds
  // are closed by the other side or the container exits.
  virtual absl::Status Attach(absl::string_view container_id, const Stdio& stdio);
  // Verb::kAttach, Verb::kExec. `exec_id` empty: the container's own terminal.
  virtual absl::Status ResizeTerminal(absl::string_view container_id,
                                      absl::string_view exec_id,
                                      uint16_t rows,
                                      uint16_t columns);

  // Keeps copies of these open until the pod ends, unused. Borrowed during the call.
  virtual absl::Status Keep(const std::vector<int>& fds, const Operation& operation) = 0;

  // Ends the pod; with it go its namespaces. Every container must have exited (FailedPrecondition).
  // Returns when the process is gone; one that does not answer in time is killed. Idempotent.
  virtual absl::Status Shutdown() = 0;
  // Ends the pod without asking it, and with it whatever it has started. OK when it is gone, which
  // is waited for; DeadlineExceeded when that takes too long.
  virtual absl::Status Kill() = 0;
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_HANDLER_POD_HANDLE_H_
