#ifndef CRISP_RUNTIME_SHIM_SERVER_H_
#define CRISP_RUNTIME_SHIM_SERVER_H_

#include <stdint.h>

#include "runtime/wire/wire.h"

namespace crisp::shim {

struct Message;
using runtime::MessageHeader;

// Serves the daemon on `control` (which asked for this shim in `request`) and, after it
// has gone, whoever connects to the pod's socket: root only, the newest connection wins. Requests
// are executed one after the other, but for a start or an exec: while its process is on its way to
// execve, all else is served, and so it is while the tree of an exec is killed. Returns never.
[[noreturn]] void Serve(int control, const MessageHeader& request);

// Executes one request and answers it, or begins the start whose answer comes later.
void Dispatch(Message* message);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_SERVER_H_
