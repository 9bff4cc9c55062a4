#ifndef CRISP_RUNTIME_SHIM_SERVER_H_
#define CRISP_RUNTIME_SHIM_SERVER_H_

#include <stdint.h>

#include "runtime/wire/wire.h"

namespace crisp::shim {

struct Message;
using runtime::MessageHeader;

// Serves the daemon on `control`, which asked for this shim in `request`, and after it has gone
// every daemon that connects to the pod's socket: root only, and the newest connection wins.
// Requests are executed one after the other, except starts and execs: while a process is on its way
// to execve, all other requests are served, and so they are while the tree of an exec is killed.
// Never returns.
[[noreturn]] void Serve(int control, const MessageHeader& request);

// Executes one request and answers it, or begins the start whose answer comes later.
void Dispatch(Message* message);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_SERVER_H_
