#ifndef CRISP_RUNTIME_HANDLER_PROCESSES_H_
#define CRISP_RUNTIME_HANDLER_PROCESSES_H_

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace crisp::runtime {

// The values in which a runtime tells of the processes that it has started.

// The end of a container's init or of an exec.
struct ExitRecord {
  int32_t exit_code = 0;  // 128 + signal when a signal ended it
  int32_t signal = 0;
  absl::Time exited_at;
  bool log_truncated = false;  // the last output could not all be logged
};

// Reads the record that a runtime wrote at NewContainer::exit_record: the line "crisp-exit 1 CODE
// SIGNAL NANOSECONDS TRUNCATED". NotFound if there is none yet, DataLoss if it is malformed.
absl::StatusOr<ExitRecord> ReadExitRecord(const std::string& path);

// The state of one container when the daemon connects (again) to its pod.
struct ContainerReport {
  enum class State { kCreated, kRunning, kExited };
  std::string container_id;
  State state = State::kCreated;
  pid_t pid = 0;   // as seen by the daemon; 0 unless running
  UniqueFd pidfd;  // of that process; shims of the first release pass none
  absl::Time started_at;
  ExitRecord exit;  // when kExited
};

struct StartedProcess {
  pid_t pid = 0;
  UniqueFd pidfd;
  absl::Time started_at;
};

// The stdio of an exec or an attach. It is borrowed during the call: the runtime gets duplicates.
// -1 is none
// (/dev/null for an exec). With a terminal, stdin_fd and stdout_fd may be the same socket and
// stderr_fd is -1.
struct Stdio {
  int stdin_fd = -1;
  int stdout_fd = -1;
  int stderr_fd = -1;
};

// A pod whose process lives, as the kernel knows it.
struct FoundPod {
  std::string pod_id;
  pid_t pid = 0;
  UniqueFd pidfd;
  // True if it has a process: a container's, or the pod's first. True as well where the kernel does
  // not tell.
  bool has_children = false;

  bool HasEnded() const;
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_HANDLER_PROCESSES_H_
