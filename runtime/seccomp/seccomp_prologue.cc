#include "runtime/seccomp/seccomp_prologue.h"

#include <linux/seccomp.h>
#include <stddef.h>

#include <algorithm>
#include <cerrno>

namespace crisp::runtime {
namespace {

constexpr uint32_t kX32Bit = 0x40000000;

// Jumps to the prologue's end are marked with this until the end is known.
constexpr uint32_t kToEnd = UINT32_MAX;

void Block(const PrologueArch& arch, std::vector<sock_filter>& code) {
  uint32_t first = arch.newest;
  for (const auto& [number, action] : arch.syscalls) first = std::min(first, number);
  code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  // Old syscalls, nearly all, leave after one comparison.
  code.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, first, 1, 0));
  code.push_back(BPF_STMT(BPF_JMP | BPF_JA, kToEnd));
  code.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 0, 1));
  code.push_back(BPF_STMT(BPF_JMP | BPF_JA, kToEnd));
  for (const auto& [number, action] : arch.syscalls) {
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, action));
  }
  if (arch.newest != UINT32_MAX) {
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, arch.newest, 0, 1));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
  }
  code.push_back(BPF_STMT(BPF_JMP | BPF_JA, kToEnd));
}

}  // namespace

std::vector<sock_filter> SeccompPrologue(const std::vector<PrologueArch>& arches) {
  std::vector<sock_filter> code;
  code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)));
  for (const PrologueArch& arch : arches) {
    if (arch.syscalls.empty() && arch.newest == UINT32_MAX) continue;
    std::vector<sock_filter> block;
    Block(arch, block);
    code.push_back(
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arch.arch, 0, static_cast<uint8_t>(block.size())));
    code.insert(code.end(), block.begin(), block.end());
  }
  if (code.size() == 1) return {};
  for (size_t i = 0; i < code.size(); ++i) {
    if (code[i].code == (BPF_JMP | BPF_JA) && code[i].k == kToEnd) {
      code[i].k = static_cast<uint32_t>(code.size() - i - 1);
    }
  }
  return code;
}

}  // namespace crisp::runtime
