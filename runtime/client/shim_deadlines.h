#ifndef CRISP_RUNTIME_CLIENT_SHIM_DEADLINES_H_
#define CRISP_RUNTIME_CLIENT_SHIM_DEADLINES_H_

#include "absl/time/time.h"

namespace crisp::runtime {

// The times that the daemon waits for a shim, by kind of call. Calls that take an Operation have
// their caller's deadline; these are for the others. A shim answers in microseconds. One that does
// not answer within these times hangs, and the daemon waits only as long as it takes to be sure.

// Signals, removals, terminals, logs, reports.
constexpr absl::Duration kControlTime = absl::Seconds(5);
// For an exec to reach its program.
constexpr absl::Duration kExecStartTime = absl::Seconds(30);
// For it to end when it is asked to. Then it is killed.
constexpr absl::Duration kShutdownTime = absl::Seconds(10);
// In place of these, once a call has gone unanswered and nothing has been heard since.
constexpr absl::Duration kSilentTime = absl::Milliseconds(500);
// For a process to be gone after its SIGKILL.
constexpr absl::Duration kKillTime = absl::Seconds(10);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CLIENT_SHIM_DEADLINES_H_
