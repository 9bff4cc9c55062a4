#include "runtime/handler/missing_runtime.h"

#include "absl/strings/str_cat.h"

namespace crisp::runtime {

absl::Status MissingRuntime::Usable() const {
  return absl::FailedPreconditionError(absl::StrCat(
      "the pod was started by a runtime of type \"", type(),
      "\", which this crispd does not have: add a handler of that type to runtime.handlers and "
      "restart crispd"));
}

}  // namespace crisp::runtime
