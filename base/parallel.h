#ifndef CRISP_BASE_PARALLEL_H_
#define CRISP_BASE_PARALLEL_H_

#include <cstddef>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace crisp {

// Calls body(0) … body(count - 1), each once and in this order of their beginnings, in up to
// `threads` threads that are called `name`, and returns when all have returned. The caller's thread
// is one of them: where no other is to be had, it does it all.
void ParallelFor(absl::string_view name,
                 size_t count,
                 size_t threads,
                 absl::FunctionRef<void(size_t)> body);

}  // namespace crisp

#endif  // CRISP_BASE_PARALLEL_H_
