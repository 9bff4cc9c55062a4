#include "runtime/seccomp/seccomp_filter.h"

#include <gmock/gmock.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <set>

#include "base/testing/status_matchers.h"
#include "runtime/oci/capabilities.h"
#include "runtime/seccomp/seccomp_names.h"
#include "runtime/seccomp/seccomp_profile.h"
#include "runtime/seccomp/testing/bpf_interpreter.h"

namespace crisp::runtime {
namespace {

constexpr uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr uint32_t kEperm = SECCOMP_RET_ERRNO | EPERM;
constexpr uint32_t kEnosys = SECCOMP_RET_ERRNO | ENOSYS;

SeccompTarget Target(uint64_t capabilities) {
  return {.capabilities = capabilities, .architecture = "amd64", .kernel = {6, 18}};
}

uint32_t Ask(const SeccompFilter& filter,
             uint32_t arch,
             int number,
             std::vector<uint64_t> args = {}) {
  seccomp_data data = {};
  data.nr = number;
  data.arch = arch;
  for (size_t i = 0; i < args.size(); ++i) data.args[i] = args[i];
  std::optional<uint32_t> verdict = RunFilter(filter.bpf, data);
  EXPECT_TRUE(verdict.has_value()) << arch << " " << number;
  return verdict.value_or(0xdeadbeef);
}

// The syscalls that a profile allows when all arguments are zero.
std::set<std::string> AllowedWithZeroArguments(const OciSeccomp& profile) {
  std::set<std::string> allowed;
  for (const OciSeccompRule& rule : profile.syscalls) {
    if (rule.action != "SCMP_ACT_ALLOW") continue;
    bool holds = true;
    for (const OciSeccompArg& arg : rule.args) {
      if (arg.op == "SCMP_CMP_EQ")
        holds = holds && arg.value == 0;
      else if (arg.op == "SCMP_CMP_MASKED_EQ")
        holds = holds && arg.value_two == 0;
      else
        ADD_FAILURE() << arg.op;
    }
    if (holds) allowed.insert(rule.names.begin(), rule.names.end());
  }
  return allowed;
}

// By number, as the kernel sees it: i386 has socket() both by itself and in socketcall().
bool IsAllowed(const std::set<std::string>& allowed, uint32_t token, int number) {
  if (char* name = seccomp_syscall_resolve_num_arch(token, number); name != nullptr) {
    const bool found = allowed.contains(name);
    free(name);
    return found;
  }
  for (const std::string& name : allowed) {
    if (NewSyscall(name, token) == static_cast<uint32_t>(number)) return true;
  }
  return false;
}

class DefaultProfileTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(DefaultProfileTest, EveryNumberOnEveryAbi) {
  if (seccomp_arch_native() != SCMP_ARCH_X86_64) GTEST_SKIP() << "the table is x86-64's";
  const OciSeccomp profile = DefaultSeccompProfile(Target(GetParam()));
  absl::StatusOr<SeccompFilter> filter = CompileSeccomp(profile);
  ASSERT_OK(filter);
  const std::set<std::string> allowed = AllowedWithZeroArguments(profile);
  struct Abi {
    uint32_t token, arch, bit;
  };
  for (const Abi& abi :
       {Abi{SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, 0}, Abi{SCMP_ARCH_X86, AUDIT_ARCH_I386, 0},
        Abi{SCMP_ARCH_X32, AUDIT_ARCH_X86_64, 0x40000000}}) {
    const bool admin = (GetParam() >> CAP_SYS_ADMIN & 1) != 0;
    for (int number = 0; number < 1024; ++number) {
      uint32_t expected = kEperm;
      const int given = static_cast<int>(number | abi.bit);
      if (IsAllowed(allowed, abi.token, given))
        expected = kAllow;
      else if (abi.bit == 0 && number > 466)
        expected = kEnosys;
      else if (!admin && number == 435)
        expected = kEnosys;  // clone3
      ASSERT_EQ(Ask(*filter, abi.arch, given), expected) << abi.token << " " << number;
    }
  }
  EXPECT_EQ(Ask(*filter, AUDIT_ARCH_AARCH64, 0), uint32_t{SECCOMP_RET_KILL_THREAD});
}

INSTANTIATE_TEST_SUITE_P(Capabilities,
                         DefaultProfileTest,
                         ::testing::Values(0,
                                           DefaultCapabilities(),
                                           (uint64_t{1} << 41) - 1,
                                           uint64_t{1} << CAP_SYS_ADMIN,
                                           uint64_t{1} << CAP_SYS_PTRACE));

class DefaultRulesTest : public ::testing::Test {
 protected:
  uint32_t Native(int number, std::vector<uint64_t> args = {}) {
    return Ask(filter_, AUDIT_ARCH_X86_64, number, std::move(args));
  }
  void SetUp() override {
    if (seccomp_arch_native() != SCMP_ARCH_X86_64) GTEST_SKIP() << "the table is x86-64's";
    filter_ = *CompileSeccomp(DefaultSeccompProfile(Target(DefaultCapabilities())));
  }
  SeccompFilter filter_;
};

TEST_F(DefaultRulesTest, DeniesWhatIsDangerous) {
  for (int number : {SYS_mount,
                     SYS_umount2,
                     SYS_unshare,
                     SYS_setns,
                     SYS_bpf,
                     SYS_keyctl,
                     SYS_add_key,
                     SYS_kexec_load,
                     SYS_init_module,
                     SYS_reboot,
                     SYS_swapon,
                     SYS_perf_event_open,
                     SYS_userfaultfd,
                     SYS_io_uring_setup,
                     SYS_open_by_handle_at,
                     SYS_settimeofday,
                     SYS_iopl,
                     SYS_quotactl,
                     SYS_acct,
                     SYS_syslog}) {
    EXPECT_EQ(Native(number), kEperm) << number;
  }
}

TEST_F(DefaultRulesTest, AllowsWhatProgramsNeed) {
  for (int number : {SYS_read, SYS_execve, SYS_chroot, SYS_ptrace, SYS_clone, SYS_futex, SYS_mknod,
                     SYS_seccomp, SYS_arch_prctl, SYS_openat2, SYS_rseq, 335, 451, 452, 466}) {
    EXPECT_EQ(Native(number), kAllow) << number;
  }
}

TEST_F(DefaultRulesTest, ClonesThreadsButNoNamespaces) {
  EXPECT_EQ(Native(SYS_clone, {CLONE_VM | CLONE_THREAD | CLONE_SIGHAND}), kAllow);
  for (uint64_t flag : {CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID,
                        CLONE_NEWNET, CLONE_NEWCGROUP}) {
    EXPECT_EQ(Native(SYS_clone, {flag | CLONE_VM}), kEperm) << flag;
  }
  EXPECT_EQ(Native(SYS_clone3), kEnosys);
}

TEST_F(DefaultRulesTest, SocketsOfEveryFamilyButTwo) {
  for (uint64_t family = 0; family < 64; ++family) {
    const uint32_t expected = family == 38 || family == 40 ? kEperm : kAllow;
    EXPECT_EQ(Native(SYS_socket, {family, 1}), expected) << family;
    // The kernel takes the lower 32 bits.
    EXPECT_EQ(Native(SYS_socket, {family | uint64_t{1} << 32, 1}), expected) << family;
    EXPECT_EQ(Native(SYS_socket, {family | uint64_t{0xffffffff} << 32, 1}), expected) << family;
  }
}

// The kernel's work grows with the length, whenever a process takes the filter.
TEST_F(DefaultRulesTest, IsShort) { EXPECT_LT(filter_.bpf.size() / sizeof(sock_filter), 400u); }

TEST_F(DefaultRulesTest, FivePersonalities) {
  for (uint64_t value :
       {uint64_t{0}, uint64_t{8}, uint64_t{0x20000}, uint64_t{0x20008}, uint64_t{0xffffffff}}) {
    EXPECT_EQ(Native(SYS_personality, {value}), kAllow) << value;
  }
  for (uint64_t value : {uint64_t{1}, uint64_t{0x0040000}, uint64_t{0x100000008}}) {
    EXPECT_EQ(Native(SYS_personality, {value}), kEperm) << value;
  }
}

TEST_F(DefaultRulesTest, TheKernelTakesItAndObeys) {
  pid_t child = fork();
  if (child == 0) {
    sock_fprog program = {
        .len = static_cast<unsigned short>(filter_.bpf.size() / sizeof(sock_filter)),
        .filter = reinterpret_cast<sock_filter*>(filter_.bpf.data())};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(1);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter_.flags, &program) != 0) _exit(2);
    if (syscall(SYS_getpid) < 0) _exit(3);
    if (syscall(SYS_keyctl, 0, 0, 0, 0, 0) != -1 || errno != EPERM) _exit(4);
    if (syscall(SYS_clone3, nullptr, 0) != -1 || errno != ENOSYS) _exit(5);
    if (syscall(1000) != -1 || errno != ENOSYS) _exit(6);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(SeccompFilterTest, SplitsConditionsOnOneArgumentIntoAlternatives) {
  OciSeccomp profile{.default_action = "SCMP_ACT_ERRNO"};
  profile.syscalls = {{.names = {"dup2"},
                       .action = "SCMP_ACT_ALLOW",
                       .args = {{.index = 0, .value = 1, .op = "SCMP_CMP_EQ"},
                                {.index = 0, .value = 2, .op = "SCMP_CMP_EQ"}}},
                      {.names = {"fchmod"},
                       .action = "SCMP_ACT_ALLOW",
                       .args = {{.index = 0, .value = 1, .op = "SCMP_CMP_EQ"},
                                {.index = 1, .value = 2, .op = "SCMP_CMP_EQ"}}}};
  SeccompFilter filter = *CompileSeccomp(profile);
  EXPECT_EQ(Ask(filter, AUDIT_ARCH_X86_64, SYS_dup2, {2}), kAllow);
  EXPECT_EQ(Ask(filter, AUDIT_ARCH_X86_64, SYS_dup2, {3}), kEperm);
  EXPECT_EQ(Ask(filter, AUDIT_ARCH_X86_64, SYS_fchmod, {1, 2}), kAllow);
  EXPECT_EQ(Ask(filter, AUDIT_ARCH_X86_64, SYS_fchmod, {1, 3}), kEperm);
}

TEST(SeccompFilterTest, ADenyListHasNoStub) {
  OciSeccomp profile{.default_action = "SCMP_ACT_ALLOW"};
  profile.syscalls = {
      {.names = {"mkdir", "mseal", "no_such_syscall"}, .action = "SCMP_ACT_ERRNO", .errno_ret = 7}};
  SeccompFilter filter = *CompileSeccomp(profile);
  EXPECT_EQ(Ask(filter, AUDIT_ARCH_X86_64, SYS_mkdir), uint32_t{SECCOMP_RET_ERRNO} | 7);
  EXPECT_EQ(Ask(filter, AUDIT_ARCH_X86_64, 462), uint32_t{SECCOMP_RET_ERRNO} | 7);
  EXPECT_EQ(Ask(filter, AUDIT_ARCH_X86_64, 1000), kAllow);
  EXPECT_EQ(filter.flags, uint32_t{SECCOMP_FILTER_FLAG_SPEC_ALLOW});
  // Leaving this one out would make the filter laxer than asked.
  profile.syscalls[0].names = {"mseal"};
  profile.syscalls[0].args = {{.index = 0, .value = 1, .op = "SCMP_CMP_EQ"}};
  if (seccomp_syscall_resolve_name("mseal") == __NR_SCMP_ERROR) {
    EXPECT_THAT(CompileSeccomp(profile), StatusIs(absl::StatusCode::kUnimplemented));
  }
}

TEST(SeccompFilterTest, FlagsAreHonoured) {
  OciSeccomp profile{.default_action = "SCMP_ACT_ALLOW", .flags = {"SECCOMP_FILTER_FLAG_LOG"}};
  EXPECT_EQ(CompileSeccomp(profile)->flags, uint32_t{SECCOMP_FILTER_FLAG_LOG});
  profile.flags = {"SECCOMP_FILTER_FLAG_X"};
  EXPECT_THAT(CompileSeccomp(profile), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(SeccompCacheTest, CompilesOnceAndKeepsTheNewest) {
  SeccompCache cache(2);
  OciSeccomp one{.default_action = "SCMP_ACT_ALLOW"};
  OciSeccomp two{.default_action = "SCMP_ACT_LOG"};
  OciSeccomp three{.default_action = "SCMP_ACT_ERRNO"};
  auto first = *cache.Get(one);
  EXPECT_EQ(*cache.Get(one), first);
  EXPECT_NE(*cache.Get(two), first);
  (void)cache.Get(one);
  (void)cache.Get(three);  // drops two
  EXPECT_EQ(*cache.Get(one), first);
  EXPECT_FALSE(cache.Get({.default_action = "nonsense"}).ok());
}

TEST(SeccompCacheTest, WarmsInTheBackground) {
  SeccompCache cache;
  cache.Warm();
  uint64_t capabilities = DefaultCapabilities() & DaemonCapabilities();
  EXPECT_OK(cache.Get(DefaultSeccompProfile(SeccompTarget::Host(capabilities))));
}

}  // namespace
}  // namespace crisp::runtime
