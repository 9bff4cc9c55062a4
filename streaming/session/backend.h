#ifndef CRISP_STREAMING_SESSION_BACKEND_H_
#define CRISP_STREAMING_SESSION_BACKEND_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "streaming/wire/session_request.h"

namespace crisp::streaming {

// The other side's ends of a session's stdio, borrowed during the call. -1 stands for none.
struct SessionStdio {
  int stdin_fd = -1;
  int stdout_fd = -1;
  int stderr_fd = -1;
};

// A process that an exec session started. Thread-safe. Dropping it neither ends nor reaps the
// process.
class Process {
 public:
  virtual ~Process() = default;
  // A descriptor that is readable for good once the process has ended. Owned by this object.
  virtual int exited_fd() const = 0;
  // Set once it has ended; 128 + signal if a signal ended it.
  virtual std::optional<int> exit_code() const = 0;
  // Blocks. FailedPrecondition without a terminal.
  virtual absl::Status Resize(uint16_t rows, uint16_t columns) = 0;
  // Kills the process with all that it started. Blocks, but not for longer than a few seconds.
  virtual absl::Status Kill() = 0;
};

// The container runtime, as sessions need it. Thread-safe. Every call may block, and is made on a
// thread that may. The process must not die of SIGPIPE.
class Backend {
 public:
  virtual ~Backend() = default;

  // Starts request.argv in the container. A terminal copies between its master and the descriptors;
  // otherwise they are the process's own. The errors are shown to the client.
  virtual absl::StatusOr<std::shared_ptr<Process>> StartExec(const SessionRequest& request,
                                                             const SessionStdio& stdio) = 0;
  // Copies the container's output from now on to the descriptors and what comes from stdin to the
  // container. The other side closes them when the container ends, or when so much output waits for
  // this reader that it would hold the others up. FailedPrecondition unless running.
  virtual absl::Status Attach(const SessionRequest& request, const SessionStdio& stdio) = 0;
  // OK if an attachment ended because the container did. Waits up to a second for the container's
  // end to be known. ResourceExhausted if the container goes on: then the client took its output
  // too slowly.
  virtual absl::Status WhyDetached(const std::string& container_id) = 0;
  // Changes the size of the container's own terminal.
  virtual absl::Status ResizeContainer(const std::string& container_id,
                                       uint16_t rows,
                                       uint16_t columns) = 0;
  // An unconnected TCP socket of `family` (AF_INET, AF_INET6) in the pod's network namespace.
  // FailedPrecondition unless the pod is ready.
  virtual absl::StatusOr<UniqueFd> OpenPodSocket(const std::string& pod_id, int family) = 0;
};

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_SESSION_BACKEND_H_
