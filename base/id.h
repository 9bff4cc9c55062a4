#ifndef CRISP_BASE_ID_H_
#define CRISP_BASE_ID_H_

#include <string>

#include "absl/strings/string_view.h"

namespace crisp {

// 64 lower-case hex digits from the kernel's random source, the form every CRI client expects.
std::string GenerateId();

// True if `id` can be such an id or a prefix of one: 1 to 64 lower-case hex digits.
bool IsIdPrefix(absl::string_view id);

}  // namespace crisp

#endif  // CRISP_BASE_ID_H_
