#ifndef CRISP_BASE_LOG_WRITER_H_
#define CRISP_BASE_LOG_WRITER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace crisp {

// From here on lines are queued and written by a thread of its own, so that nobody waits for
// whoever reads stderr (a stalled journal). What does not fit into the queue is dropped, and a line
// says how many were. When the process crashes, what is queued is written first. Once, by a daemon;
// others write as they log.
absl::Status StartLogWriter();
// Waits until all that was logged is written, but not longer than `limit`. Whether it is.
bool FlushLog(absl::Duration limit);
uint64_t DroppedLogLines();

}  // namespace crisp

#endif  // CRISP_BASE_LOG_WRITER_H_
