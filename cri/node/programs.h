#ifndef CRISP_CRI_NODE_PROGRAMS_H_
#define CRISP_CRI_NODE_PROGRAMS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace crisp::cri {

// Where a program that crispd starts is: beside this program in a build directory, in
// ../libexec/crisp from there where it is installed. It need not be there. Fails only where /proc
// is not mounted.
absl::StatusOr<std::string> HelperPath(absl::string_view name);

}  // namespace crisp::cri

#endif  // CRISP_CRI_NODE_PROGRAMS_H_
