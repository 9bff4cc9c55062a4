#include "runtime/seccomp/seccomp_profile.h"

#include <gmock/gmock.h>
#include <linux/capability.h>

#include "base/testing/status_matchers.h"

namespace crisp::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

SeccompTarget Target(uint64_t capabilities = 0) {
  return {.capabilities = capabilities, .architecture = "amd64", .kernel = {5, 10}};
}

std::vector<std::string> Names(const OciSeccomp& profile) {
  std::vector<std::string> names;
  for (const OciSeccompRule& rule : profile.syscalls) {
    names.insert(names.end(), rule.names.begin(), rule.names.end());
  }
  return names;
}

TEST(SeccompProfileTest, ReadsTheOciForm) {
  absl::StatusOr<OciSeccomp> profile = ParseSeccompProfile(
      R"({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
          "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5,
                        "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_GT"}]}]})",
      Target());
  ASSERT_OK(profile);
  EXPECT_EQ(profile->syscalls[0].errno_ret, 5u);
  EXPECT_THAT(profile->architectures, ElementsAre("SCMP_ARCH_X86_64"));
}

TEST(SeccompProfileTest, ResolvesDockersConditions) {
  const char* text =
      R"({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
          "archMap": [{"architecture": "SCMP_ARCH_X86_64",
                       "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
                      {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []}],
          "syscalls": [
            {"names": ["a"], "action": "SCMP_ACT_ALLOW", "comment": "", "includes": {},
             "excludes": {}, "args": null},
            {"name": "b", "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_KILL"]}},
            {"names": ["c"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_KILL"]}},
            {"names": ["d"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
            {"names": ["e"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["arm64"]}},
            {"names": ["f"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "5.11"}},
            {"names": ["g"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["h"], "action": "SCMP_ACT_ALLOW",
             "includes": {"caps": ["CAP_FROM_THE_FUTURE"]}}]})";
  absl::StatusOr<OciSeccomp> without = ParseSeccompProfile(text, Target());
  ASSERT_OK(without);
  EXPECT_THAT(Names(*without), ElementsAre("a", "c", "e", "g"));
  EXPECT_THAT(without->architectures,
              ElementsAre("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"));
  EXPECT_THAT(Names(*ParseSeccompProfile(text, Target(1 << CAP_KILL))),
              ElementsAre("a", "b", "e", "g"));
}

TEST(SeccompProfileTest, RefusesNonsense) {
  const char* cases[] = {
      "",
      "[]",
      "{}",
      R"({"defaultAction": "SCMP_ACT_NOPE"})",
      R"({"defaultAction": 1})",
      R"({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096})",
      R"({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["X"]})",
      R"({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["X"]})",
      R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [1]})",
      R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [], "action": "SCMP_ACT_LOG"}]})",
      R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "X"}]})",
      R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_LOG",
          "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]})",
      R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_LOG",
          "args": [{"index": 0, "value": 0, "op": "=="}]}]})",
      R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_LOG",
          "includes": {"minKernel": "five"}}]})",
      R"({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],
          "archMap": [{"architecture": "SCMP_ARCH_X86_64"}]})",
      R"({"defaultAction": "SCMP_ACT_ALLOW",
          "syscalls": [{"name": "a", "names": ["b"], "action": "SCMP_ACT_LOG"}]})",
  };
  for (const char* text : cases) {
    EXPECT_THAT(ParseSeccompProfile(text, Target()), StatusIs(kInvalid)) << text;
  }
  EXPECT_THAT(ParseSeccompProfile(R"({"defaultAction": "SCMP_ACT_NOTIFY"})", Target()),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("NOTIFY")));
}

TEST(SeccompProfileTest, NobodyListensWhereNothingNotifies) {
  EXPECT_OK(ParseSeccompProfile(
      R"({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/x.sock", "listenerMetadata": "m"})",
      Target()));
  EXPECT_THAT(
      ParseSeccompProfile(R"({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/x.sock",
      "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}]})",
                          Target()),
      StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("syscalls: SCMP_ACT_NOTIFY")));
}

TEST(SeccompProfileTest, TheDefaultIsValidEverywhere) {
  for (const char* architecture : {"amd64", "arm64", "riscv64", "s390x", "ppc64le", "unknown"}) {
    SeccompTarget target = Target(~uint64_t{0});
    target.architecture = architecture;
    EXPECT_OK(ValidateSeccomp(DefaultSeccompProfile(target))) << architecture;
  }
}

TEST(SeccompProfileTest, OldKernelsKeepPtraceOut) {
  SeccompTarget target = Target();
  EXPECT_THAT(Names(DefaultSeccompProfile(target)), ::testing::Contains("ptrace"));
  target.kernel = {4, 4};
  EXPECT_THAT(Names(DefaultSeccompProfile(target)), ::testing::Not(::testing::Contains("ptrace")));
}

}  // namespace
}  // namespace crisp::runtime
