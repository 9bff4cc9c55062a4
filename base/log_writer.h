#ifndef CRISP_BASE_LOG_WRITER_H_
#define CRISP_BASE_LOG_WRITER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace crisp {

// From now on lines are queued, and a thread writes them, so that nobody waits for a stalled reader
// of stderr (the journal). Lines that do not fit into the queue are dropped, and a line says how
// many were. If the process crashes, the queued lines are written first. A daemon calls it once;
// other programs write as they log.
absl::Status StartLogWriter();
// Waits until all lines are written, but not longer than `limit`. True if all are.
bool FlushLog(absl::Duration limit);
uint64_t DroppedLogLines();

}  // namespace crisp

#endif  // CRISP_BASE_LOG_WRITER_H_
