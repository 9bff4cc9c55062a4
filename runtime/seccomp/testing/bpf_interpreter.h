#ifndef CRISP_RUNTIME_SECCOMP_TESTING_BPF_INTERPRETER_H_
#define CRISP_RUNTIME_SECCOMP_TESTING_BPF_INTERPRETER_H_

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

namespace crisp::runtime {

// For tests: runs a classic BPF program as seccomp does. nullopt if the program does something that
// the kernel would refuse: an unknown instruction, a jump past the end, a load outside
// seccomp_data.
inline std::optional<uint32_t> RunFilter(const std::string& bytes, const seccomp_data& data) {
  std::vector<sock_filter> code(bytes.size() / sizeof(sock_filter));
  std::memcpy(code.data(), bytes.data(), code.size() * sizeof(sock_filter));
  uint32_t a = 0, x = 0, scratch[BPF_MEMWORDS] = {};
  for (size_t pc = 0; pc < code.size(); ++pc) {
    const sock_filter& i = code[pc];
    const uint32_t operand = BPF_SRC(i.code) == BPF_X ? x : i.k;
    switch (BPF_CLASS(i.code)) {
      case BPF_LD:
        if (i.code == (BPF_LD | BPF_W | BPF_ABS)) {
          if (i.k % 4 != 0 || i.k > sizeof(data) - 4) return std::nullopt;
          std::memcpy(&a, reinterpret_cast<const char*>(&data) + i.k, 4);
        } else if (i.code == (BPF_LD | BPF_MEM) && i.k < BPF_MEMWORDS) {
          a = scratch[i.k];
        } else if (i.code == (BPF_LD | BPF_IMM)) {
          a = i.k;
        } else {
          return std::nullopt;
        }
        break;
      case BPF_ST:
        if (i.k >= BPF_MEMWORDS) return std::nullopt;
        scratch[i.k] = a;
        break;
      case BPF_MISC:
        if (BPF_MISCOP(i.code) == BPF_TAX)
          x = a;
        else
          a = x;
        break;
      case BPF_ALU:
        if (BPF_OP(i.code) == BPF_AND)
          a &= operand;
        else if (BPF_OP(i.code) == BPF_OR)
          a |= operand;
        else
          return std::nullopt;
        break;
      case BPF_JMP: {
        if (BPF_OP(i.code) == BPF_JA) {
          pc += i.k;
          break;
        }
        bool taken = false;
        if (BPF_OP(i.code) == BPF_JEQ)
          taken = a == operand;
        else if (BPF_OP(i.code) == BPF_JGT)
          taken = a > operand;
        else if (BPF_OP(i.code) == BPF_JGE)
          taken = a >= operand;
        else if (BPF_OP(i.code) == BPF_JSET)
          taken = (a & operand) != 0;
        else
          return std::nullopt;
        pc += taken ? i.jt : i.jf;
        break;
      }
      case BPF_RET:
        return i.k;
      default:
        return std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_SECCOMP_TESTING_BPF_INTERPRETER_H_
