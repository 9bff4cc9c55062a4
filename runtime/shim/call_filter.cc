#include "runtime/shim/call_filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace crisp::shim {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "the architecture's number for seccomp"
#endif

constexpr size_t kMostCalls = 16;
constexpr uint16_t kLoad = BPF_LD | BPF_W | BPF_ABS, kEquals = BPF_JMP | BPF_JEQ | BPF_K,
                   kReturn = BPF_RET | BPF_K;
constexpr uint32_t kDeny = SECCOMP_RET_ERRNO | EPERM;

// Does an instruction that loads into the accumulator. False if it is another.
bool Load(const sock_filter& i, const seccomp_data& data, const uint32_t* scratch, uint32_t* a) {
  if (i.code == kLoad && i.k % 4 == 0 && i.k <= sizeof(data) - 4) {
    memcpy(a, reinterpret_cast<const char*>(&data) + i.k, 4);
    return true;
  }
  if (i.code == (BPF_LD | BPF_MEM) && i.k < BPF_MEMWORDS) {
    *a = scratch[i.k];
    return true;
  }
  *a = i.k;
  return i.code == (BPF_LD | BPF_IMM);
}

// How many instructions to leave out. False: no such jump.
bool Jump(const sock_filter& i, uint32_t a, uint32_t operand, uint32_t* distance) {
  bool taken = false;
  switch (BPF_OP(i.code)) {
    case BPF_JA:
      *distance = i.k;
      return true;
    case BPF_JEQ:
      taken = a == operand;
      break;
    case BPF_JGT:
      taken = a > operand;
      break;
    case BPF_JGE:
      taken = a >= operand;
      break;
    case BPF_JSET:
      taken = (a & operand) != 0;
      break;
    default:
      return false;
  }
  *distance = taken ? i.jt : i.jf;
  return true;
}

// Runs the instructions of which libseccomp's and crisp's own filters are made. Returns the
// verdict; SECCOMP_RET_KILL_PROCESS if there is none.
uint32_t Run(const char* filter, size_t size, const seccomp_data& data) {
  uint32_t a = 0, x = 0, scratch[BPF_MEMWORDS] = {};
  for (uint64_t at = 0; at < size / sizeof(sock_filter); ++at) {
    sock_filter i;
    memcpy(&i, filter + at * sizeof(i), sizeof(i));
    const uint32_t operand = BPF_SRC(i.code) == BPF_X ? x : i.k;
    uint32_t distance = 0;
    bool known = true;
    switch (BPF_CLASS(i.code)) {
      case BPF_LD:
        known = Load(i, data, scratch, &a);
        break;
      case BPF_JMP:
        known = Jump(i, a, operand, &distance);
        break;
      case BPF_RET:
        return i.k;
      case BPF_MISC:
        (BPF_MISCOP(i.code) == BPF_TAX ? x : a) = BPF_MISCOP(i.code) == BPF_TAX ? a : x;
        break;
      case BPF_ST:
        if ((known = i.k < BPF_MEMWORDS)) scratch[i.k] = a;
        break;
      case BPF_ALU:
        if (BPF_OP(i.code) == BPF_AND)
          a &= operand;
        else if (BPF_OP(i.code) == BPF_OR)
          a |= operand;
        else
          known = false;
        break;
      default:
        known = false;
    }
    if (!known) break;
    at += distance;
  }
  return SECCOMP_RET_KILL_PROCESS;
}

}  // namespace

bool FilterAllows(const char* filter, size_t size, const KernelCall* calls, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const seccomp_data data = {.nr = static_cast<int>(calls[i].number),
                               .arch = kArchitecture,
                               .instruction_pointer = 0,
                               .args = {calls[i].argument, 0, 0, 0, 0, 0}};
    const uint32_t answer = Run(filter, size, data) & SECCOMP_RET_ACTION_FULL;
    if (answer != SECCOMP_RET_ALLOW && answer != SECCOMP_RET_LOG) return false;
  }
  return true;
}

bool AllowOnlyCalls(const uint32_t* calls, size_t count) {
  // An architecture, each call and its leave, and the answer to all else.
  sock_filter filter[4 + 2 * kMostCalls + 1];
  if (count > kMostCalls) {
    errno = E2BIG;
    return false;
  }
  unsigned short size = 0;
  filter[size++] = {kLoad, 0, 0, offsetof(seccomp_data, arch)};
  filter[size++] = {kEquals, 1, 0, kArchitecture};
  filter[size++] = {kReturn, 0, 0, kDeny};
  filter[size++] = {kLoad, 0, 0, offsetof(seccomp_data, nr)};
  for (size_t i = 0; i < count; ++i) {
    filter[size++] = {kEquals, 0, 1, calls[i]};
    filter[size++] = {kReturn, 0, 0, SECCOMP_RET_ALLOW};
  }
  filter[size++] = {kReturn, 0, 0, kDeny};
  const sock_fprog program = {.len = size, .filter = filter};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

}  // namespace crisp::shim
