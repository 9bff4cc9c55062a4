#ifndef CRISP_CRI_NODE_HARDENING_H_
#define CRISP_CRI_NODE_HARDENING_H_

#include <cstdint>

#include "absl/status/status.h"

namespace crisp::cri {

// The capabilities that the daemon itself never needs, as a mask: loading modules, rebooting, the
// clock, raw IO, audit and such. Its helpers are executed by root and have all of them again,
// because pods may ask for any.
uint64_t NeedlessCapabilities();

// Hardens the process. Call it before the process has a second thread. It turns core dumps off,
// because registry passwords are in the memory; its children's dumps and everybody's limits stay as
// they are. It drops the needless capabilities. If one of these fails, the others are done all the
// same.
absl::Status HardenProcess();

}  // namespace crisp::cri

#endif  // CRISP_CRI_NODE_HARDENING_H_
