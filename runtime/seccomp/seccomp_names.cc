#include "runtime/seccomp/seccomp_names.h"

#include <linux/seccomp.h>
#include <seccomp.h>

#include "absl/container/flat_hash_map.h"

namespace crisp::runtime {
namespace {

using Words = absl::flat_hash_map<absl::string_view, uint32_t>;

std::optional<uint32_t> Look(const Words& words, absl::string_view name) {
  auto found = words.find(name);
  if (found == words.end()) return std::nullopt;
  return found->second;
}

}  // namespace

std::optional<uint32_t> SeccompAction(absl::string_view name, uint32_t data) {
  if (name == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(data);
  if (name == "SCMP_ACT_TRACE") return SCMP_ACT_TRACE(data);
  static const Words* const kWords = new Words{
      {"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD},
      {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
      {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
      {"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
      {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
      {"SCMP_ACT_LOG", SCMP_ACT_LOG},
      {"SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY},
  };
  return Look(*kWords, name);
}

std::optional<int> SeccompOperator(absl::string_view name) {
  static const Words* const kWords = new Words{
      {"SCMP_CMP_NE", SCMP_CMP_NE},
      {"SCMP_CMP_LT", SCMP_CMP_LT},
      {"SCMP_CMP_LE", SCMP_CMP_LE},
      {"SCMP_CMP_EQ", SCMP_CMP_EQ},
      {"SCMP_CMP_GE", SCMP_CMP_GE},
      {"SCMP_CMP_GT", SCMP_CMP_GT},
      {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
  };
  std::optional<uint32_t> value = Look(*kWords, name);
  if (!value.has_value()) return std::nullopt;
  return static_cast<int>(*value);
}

std::optional<uint32_t> SeccompArch(absl::string_view name) {
  static const Words* const kWords = new Words{
      {"SCMP_ARCH_X86", SCMP_ARCH_X86},
      {"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64},
      {"SCMP_ARCH_X32", SCMP_ARCH_X32},
      {"SCMP_ARCH_ARM", SCMP_ARCH_ARM},
      {"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64},
      {"SCMP_ARCH_MIPS", SCMP_ARCH_MIPS},
      {"SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64},
      {"SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32},
      {"SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL},
      {"SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64},
      {"SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32},
      {"SCMP_ARCH_PPC", SCMP_ARCH_PPC},
      {"SCMP_ARCH_PPC64", SCMP_ARCH_PPC64},
      {"SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE},
      {"SCMP_ARCH_S390", SCMP_ARCH_S390},
      {"SCMP_ARCH_S390X", SCMP_ARCH_S390X},
      {"SCMP_ARCH_PARISC", SCMP_ARCH_PARISC},
      {"SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64},
      {"SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64},
  };
  return Look(*kWords, name);
}

std::optional<uint32_t> SeccompFlag(absl::string_view name) {
  static const Words* const kWords = new Words{
      {"SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC},
      {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
      {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
  };
  return Look(*kWords, name);
}

std::optional<uint32_t> NewSyscall(absl::string_view name, uint32_t arch) {
  static const Words* const kWords = new Words{
      {"cachestat", 451},         {"fchmodat2", 452},        {"map_shadow_stack", 453},
      {"futex_wake", 454},        {"futex_wait", 455},       {"futex_requeue", 456},
      {"statmount", 457},         {"listmount", 458},        {"lsm_get_self_attr", 459},
      {"lsm_set_self_attr", 460}, {"lsm_list_modules", 461}, {"mseal", 462},
      {"setxattrat", 463},        {"getxattrat", 464},       {"listxattrat", 465},
      {"removexattrat", 466},     {"open_tree_attr", 467},   {"file_getattr", 468},
      {"file_setattr", 469},
  };
  if (arch == SCMP_ARCH_X86_64 && name == "uretprobe") return 335;
  switch (arch) {
    case SCMP_ARCH_X86:
    case SCMP_ARCH_X86_64:
    case SCMP_ARCH_ARM:
    case SCMP_ARCH_AARCH64:
    case SCMP_ARCH_PPC64LE:
    case SCMP_ARCH_S390X:
    case SCMP_ARCH_RISCV64:
      return Look(*kWords, name);
    default:
      return std::nullopt;
  }
}

}  // namespace crisp::runtime
