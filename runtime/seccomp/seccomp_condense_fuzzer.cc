#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "runtime/seccomp/seccomp_condense.h"
#include "runtime/seccomp/testing/bpf_interpreter.h"

// Any program: where it gives a verdict, the condensed one gives the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::runtime;
  std::vector<sock_filter> program(size / sizeof(sock_filter));
  if (program.empty()) return 0;
  std::memcpy(program.data(), data, program.size() * sizeof(sock_filter));
  const std::vector<sock_filter> condensed = CondenseFilter(program);
  const auto bytes = [](const std::vector<sock_filter>& code) {
    return std::string(reinterpret_cast<const char*>(code.data()),
                       code.size() * sizeof(sock_filter));
  };
  const std::string before = bytes(program), after = bytes(condensed);
  for (const sock_filter& at : program) {
    for (const uint32_t number : {at.k - 1, at.k, at.k + 1}) {
      for (const sock_filter& of : program) {
        seccomp_data call = {.nr = static_cast<int>(number), .arch = of.k, .args = {at.k, of.jt}};
        const auto verdict = RunFilter(before, call);
        if (verdict.has_value() && RunFilter(after, call) != verdict) abort();
        if (&of - program.data() > 20) break;
      }
    }
  }
  return 0;
}
