#ifndef CRISP_CRI_NODE_PROGRAMS_H_
#define CRISP_CRI_NODE_PROGRAMS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace crisp::cri {

// The path of a program that crispd starts. It is beside this program in a build directory, and in
// ../libexec/crisp from there in an installation. The program need not exist. Fails only if /proc
// is not mounted.
absl::StatusOr<std::string> HelperPath(absl::string_view name);

}  // namespace crisp::cri

#endif  // CRISP_CRI_NODE_PROGRAMS_H_
