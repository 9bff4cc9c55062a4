#ifndef CRISP_CRI_NODE_HARDENING_H_
#define CRISP_CRI_NODE_HARDENING_H_

#include <cstdint>

#include "absl/status/status.h"

namespace crisp::cri {

// What the daemon itself never needs, of a mask of capabilities: loading modules, rebooting, the
// clock, raw IO, audit and such. Its helpers are executed by root and have all again, for pods may
// ask for any.
uint64_t NeedlessCapabilities();

// For the process before it has a second thread: no core dump, for registry passwords are in its
// memory (of this process only: its children's dumps and everybody's limits stay as they are), and
// no needless capability. Where something cannot be had, the rest is.
absl::Status HardenProcess();

}  // namespace crisp::cri

#endif  // CRISP_CRI_NODE_HARDENING_H_
