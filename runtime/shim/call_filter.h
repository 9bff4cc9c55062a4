#ifndef CRISP_RUNTIME_SHIM_CALL_FILTER_H_
#define CRISP_RUNTIME_SHIM_CALL_FILTER_H_

#include <stddef.h>
#include <stdint.h>

namespace crisp::shim {

// From now on this process and its children may make these few system calls, and end. All others
// say EPERM. For processes that containers may trace: a tracer can have them call no more. False
// with errno.
bool AllowOnlyCalls(const uint32_t* calls, size_t count);

// A call of the kernel's by its number, with its first argument.
struct KernelCall {
  uint32_t number;
  uint64_t argument = 0;
};

// True if the filter (struct sock_filter[]) lets all of them through. False also for one that the
// kernel would not take.
bool FilterAllows(const char* filter, size_t size, const KernelCall* calls, size_t count);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_CALL_FILTER_H_
