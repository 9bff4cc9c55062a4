#ifndef CRISP_RUNTIME_SECCOMP_SECCOMP_NAMES_H_
#define CRISP_RUNTIME_SECCOMP_SECCOMP_NAMES_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace crisp::runtime {

// The words of seccomp profiles. Pure. nullopt if there is no such word.

// "SCMP_ACT_ERRNO" with its data → libseccomp's action, which is the kernel's SECCOMP_RET value.
std::optional<uint32_t> SeccompAction(absl::string_view name, uint32_t data);
// "SCMP_CMP_EQ" → enum scmp_compare.
std::optional<int> SeccompOperator(absl::string_view name);
// "SCMP_ARCH_X86_64" → libseccomp's token.
std::optional<uint32_t> SeccompArch(absl::string_view name);
// "SECCOMP_FILTER_FLAG_LOG" → flag of seccomp(2).
std::optional<uint32_t> SeccompFlag(absl::string_view name);

// Syscalls that libseccomp may be too old to name. Since Linux 5.1 new ones have the same number on
// every architecture for which we build. `arch` is libseccomp's token. nullopt if the name is not
// one of them on this architecture.
std::optional<uint32_t> NewSyscall(absl::string_view name, uint32_t arch);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_SECCOMP_SECCOMP_NAMES_H_
