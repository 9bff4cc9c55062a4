#include "runtime/shim/call_filter.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/testing/status_matchers.h"
#include "runtime/oci/capabilities.h"
#include "runtime/seccomp/seccomp_filter.h"
#include "runtime/seccomp/seccomp_profile.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif

namespace crisp::shim {
namespace {

// Bits of what a process could do all the same.
enum : int { kNoFilter = 1, kMounted = 2, kCloned = 4, kConnected = 8, kDenied = 16 };

int Try() {
  constexpr uint32_t kCalls[] = {SYS_getppid, SYS_exit_group};
  (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (!AllowOnlyCalls(kCalls, 2)) return kNoFilter;
  int done = 0;
  if (syscall(SYS_fsopen, "tmpfs", 0) != -1 || errno != EPERM) done |= kMounted;
  if (syscall(SYS_unshare, CLONE_NEWUSER) != -1 || errno != EPERM) done |= kCloned;
  if (syscall(SYS_socket, AF_INET, SOCK_STREAM, 0) != -1 || errno != EPERM) done |= kConnected;
  if (syscall(SYS_getppid) <= 0) done |= kDenied;
  return done;
}

TEST(CallFilterTest, LeavesNothingButTheCalls) {
  const pid_t child = fork();
  if (child == 0) syscall(SYS_exit_group, Try());
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(CallFilterTest, TakesNoMoreThanItHasRoomFor) {
  constexpr uint32_t kMany[17] = {};
  EXPECT_FALSE(AllowOnlyCalls(kMany, 17));
  EXPECT_EQ(errno, E2BIG);
}

bool Allows(const std::string& filter, KernelCall call) {
  return FilterAllows(filter.data(), filter.size(), &call, 1);
}
std::string Program(const std::vector<sock_filter>& code) {
  return std::string(reinterpret_cast<const char*>(code.data()), code.size() * sizeof(sock_filter));
}

TEST(CallFilterTest, TellsWhatTheDefaultProfileLetsThrough) {
  ASSERT_OK_AND_ASSIGN(
      const auto filter,
      runtime::CompileSeccomp(*runtime::HostDefaultSeccomp(runtime::DefaultCapabilities())));
  for (const uint32_t number : {SYS_capset, SYS_sendmsg, SYS_read, SYS_setsid, SYS_ioctl, SYS_prctl,
                                SYS_ppoll, SYS_execve, SYS_write, SYS_exit_group}) {
    EXPECT_TRUE(Allows(filter.bpf, {number})) << number;
  }
  EXPECT_TRUE(Allows(filter.bpf, {SYS_clone, CLONE_PARENT | CLONE_PIDFD}));
  EXPECT_FALSE(Allows(filter.bpf, {SYS_clone, CLONE_NEWUSER}));
  EXPECT_FALSE(Allows(filter.bpf, {SYS_clone3}));
  EXPECT_FALSE(Allows(filter.bpf, {SYS_mount}));
  const KernelCall both[] = {{SYS_read}, {SYS_mount}};
  EXPECT_FALSE(FilterAllows(filter.bpf.data(), filter.bpf.size(), both, 2));
}

TEST(CallFilterTest, AFilterThatTheKernelWouldNotTakeAllowsNothing) {
  EXPECT_TRUE(Allows(Program({{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}}), {SYS_read}));
  EXPECT_TRUE(Allows(Program({{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_LOG}}), {SYS_read}));
  EXPECT_FALSE(Allows("", {SYS_read}));
  EXPECT_FALSE(Allows("half", {SYS_read}));
  EXPECT_FALSE(Allows(
      Program({{BPF_JMP | BPF_JA, 0, 0, 0xffffffff}, {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}}),
      {SYS_read}));
  EXPECT_FALSE(Allows(Program({{BPF_LD | BPF_W | BPF_ABS, 0, 0, sizeof(seccomp_data)},
                               {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}}),
                      {SYS_read}));
  EXPECT_FALSE(Allows(Program({{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_TRACE}}), {SYS_read}));
}

}  // namespace
}  // namespace crisp::shim
