#ifndef CRISP_RUNTIME_SECCOMP_SECCOMP_PROLOGUE_H_
#define CRISP_RUNTIME_SECCOMP_SECCOMP_PROLOGUE_H_

#include <linux/filter.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace crisp::runtime {

// One ABI's part of the prologue that stands in front of libseccomp's filter.
struct PrologueArch {
  uint32_t arch = 0;  // AUDIT_ARCH_*
  // Pairs (number, SECCOMP_RET_* action) that libseccomp has no name for.
  std::vector<std::pair<uint32_t, uint32_t>> syscalls;
  // Numbers above this one return ENOSYS. With UINT32_MAX none does.
  uint32_t newest = UINT32_MAX;
};

// The code falls through its end if it does not decide. It leaves numbers with x32's bit to
// libseccomp. At most 60 syscalls per ABI, because jumps are short.
std::vector<sock_filter> SeccompPrologue(const std::vector<PrologueArch>& arches);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_SECCOMP_SECCOMP_PROLOGUE_H_
