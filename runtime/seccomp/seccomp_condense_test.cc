#include "runtime/seccomp/seccomp_condense.h"

#include <gmock/gmock.h>
#include <linux/audit.h>
#include <linux/seccomp.h>

#include <random>
#include <string>

#include "runtime/seccomp/testing/bpf_interpreter.h"

namespace crisp::runtime {
namespace {

constexpr sock_filter kNumber = {BPF_LD | BPF_W | BPF_ABS, 0, 0, 0};
constexpr sock_filter kArch = {BPF_LD | BPF_W | BPF_ABS, 0, 0, 4};
constexpr sock_filter kArgument = {BPF_LD | BPF_W | BPF_ABS, 0, 0, 16};
constexpr sock_filter kAllow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
constexpr sock_filter kKill = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_THREAD};

sock_filter If(uint16_t comparison, uint32_t k, uint8_t yes, uint8_t no) {
  return {static_cast<uint16_t>(BPF_JMP | comparison | BPF_K), yes, no, k};
}

std::string Bytes(const std::vector<sock_filter>& program) {
  return std::string(reinterpret_cast<const char*>(program.data()),
                     program.size() * sizeof(sock_filter));
}

// The same verdict for every number up to `most`, and at the ends of what there is.
void ExpectSame(const std::vector<sock_filter>& program, uint32_t most) {
  const std::vector<sock_filter> condensed = CondenseFilter(program);
  EXPECT_LE(condensed.size(), program.size());
  const std::string before = Bytes(program), after = Bytes(condensed);
  for (const uint32_t arch :
       std::vector<uint32_t>{AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64}) {
    for (uint32_t i = 0; i <= most + 4; ++i) {
      const uint32_t number =
          i <= most ? i
                    : std::vector<uint32_t>{0x3fffffff, 0x40000000, 0x7fffffff, ~0u}[i - most - 1];
      for (const uint64_t argument : {0, 1, 2}) {
        const seccomp_data call = {
            .nr = static_cast<int>(number), .arch = arch, .args = {argument}};
        const auto verdict = RunFilter(before, call);
        ASSERT_TRUE(verdict.has_value());
        ASSERT_EQ(RunFilter(after, call), verdict) << arch << " " << number << " " << argument;
      }
    }
  }
}

TEST(SeccompCondenseTest, RunsOfEqualVerdictsBecomeOneComparison) {
  std::vector<sock_filter> program = {kArch, If(BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0), kKill, kNumber};
  for (uint32_t number = 0; number < 400; ++number) {
    if (number % 100 == 99) continue;
    program.push_back(If(BPF_JEQ, number, 0, 1));
    program.push_back(kAllow);
  }
  program.push_back(kKill);
  ExpectSame(program, 500);
  EXPECT_LT(CondenseFilter(program).size(), 20u);
}

TEST(SeccompCondenseTest, WhatLooksAtArgumentsIsKept) {
  const std::vector<sock_filter> program = {kArch,
                                            If(BPF_JEQ, AUDIT_ARCH_X86_64, 2, 0),
                                            If(BPF_JEQ, AUDIT_ARCH_I386, 1, 0),
                                            kKill,
                                            kNumber,
                                            If(BPF_JGE, 0x40000000, 8, 0),
                                            If(BPF_JEQ, 3, 5, 0),
                                            If(BPF_JEQ, 4, 4, 0),
                                            If(BPF_JEQ, 5, 3, 0),
                                            If(BPF_JEQ, 6, 0, 4),
                                            kArgument,
                                            If(BPF_JEQ, 1, 1, 0),
                                            kAllow,
                                            kKill,
                                            kKill};
  ExpectSame(program, 20);
}

// More runs than a comparison's jump can pass over.
TEST(SeccompCondenseTest, LongSearchesReachTheirEnds) {
  std::minstd_rand random(7);
  for (int round = 0; round < 20; ++round) {
    std::vector<sock_filter> program = {kArch, If(BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0), kKill,
                                        kNumber};
    for (uint32_t number = 0; number < 1000; ++number) {
      const auto verdict = static_cast<uint32_t>(random() % 4);
      if (verdict == 0) continue;
      program.push_back(If(BPF_JEQ, number, 0, 1));
      program.push_back(
          verdict == 1 ? kAllow : sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | verdict});
    }
    program.push_back(kKill);
    ExpectSame(program, 1100);
  }
}

TEST(SeccompCondenseTest, WhatItDoesNotUnderstandStays) {
  const std::vector<std::vector<sock_filter>> programs = {
      {},
      {kNumber},                                // runs off its end
      {kNumber, If(BPF_JEQ, 1, 9, 9), kAllow},  // leads out
      {kNumber, If(BPF_JSET, 0x40000000, 0, 1), kKill, kAllow, kAllow, kAllow},
      {kNumber,
       {BPF_ALU | BPF_AND | BPF_K, 0, 0, 1},
       If(BPF_JEQ, 1, 0, 1),
       kKill,
       kAllow,
       kAllow,
       kAllow},
      {kArch, If(BPF_JGT, 1, 0, 1), kKill, kAllow, kAllow, kAllow, kAllow, kAllow},
      {kNumber, {BPF_JMP | BPF_JA | BPF_X, 0, 0, 1}, kArgument, kAllow, kKill, kKill, kKill, kKill},
      {kAllow},
  };
  for (const std::vector<sock_filter>& program : programs) {
    EXPECT_EQ(Bytes(CondenseFilter(program)), Bytes(program));
  }
}

}  // namespace
}  // namespace crisp::runtime
