#ifndef CRISP_RUNTIME_SHIM_BROKER_H_
#define CRISP_RUNTIME_SHIM_BROKER_H_

#include <stddef.h>

namespace crisp::shim {

// The broker: started once by the daemon, it makes the minimal mount namespace and then turns a
// copy of itself into a shim for each pod, which costs a fork of a tiny process. Ends with the
// daemon's socket. `log_rate`: see SetLogRate(), in digits.
[[noreturn]] void RunBroker(const char* storage_root, const char* log_rate);

// Makes this process that of the plan's pod; and one that may become many a pod's, for whose life
// the bytes stay. False and g_error.
bool SetUpAsPod(const char* plan, size_t size);
bool SetUpAsSpare(const char* usual, size_t size);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_BROKER_H_
