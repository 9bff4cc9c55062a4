#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "runtime/lsm/apparmor.h"

namespace crisp::runtime {
namespace {

using ::testing::HasSubstr;

Operation Soon() { return Operation(absl::Now() + absl::Minutes(1)); }

TEST(AppArmorTest, FindsAProfileInTheKernelsList) {
  const char* list = "a b (enforce)\nmine (complain)\nouter//inner (enforce)\n";
  EXPECT_TRUE(ListsAppArmorProfile(list, "a b"));
  EXPECT_TRUE(ListsAppArmorProfile(list, "mine"));
  EXPECT_TRUE(ListsAppArmorProfile(list, "outer//inner"));
  EXPECT_FALSE(ListsAppArmorProfile(list, "min"));
  EXPECT_FALSE(ListsAppArmorProfile(list, "b"));
  EXPECT_FALSE(ListsAppArmorProfile("", ""));
}

TEST(AppArmorTest, TheDefaultIsOneWholeProfileUnderItsName) {
  const std::string text = DefaultAppArmorText();
  EXPECT_THAT(text, HasSubstr(absl::StrCat("profile \"", kDefaultAppArmorProfile, "\"")));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("NAME")));
  EXPECT_THAT(text, ::testing::EndsWith("}\n"));
}

// On kernels with AppArmor only: hack/vm.sh.
class ConfinedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!HasAppArmor() || geteuid() != 0) GTEST_SKIP() << "needs AppArmor and root";
    ASSERT_OK(LoadDefaultAppArmor(dir_.path() + "/note", Soon()));
  }

  // The exit code of a shell under the default profile.
  static int Shell(const char* script) {
    const pid_t child = fork();
    if (child == 0) {
      const int fd = open("/proc/self/attr/apparmor/exec", O_WRONLY | O_CLOEXEC);
      const std::string command = absl::StrCat("exec ", kDefaultAppArmorProfile);
      if (write(fd, command.data(), command.size()) < 0) _exit(120);
      execl("/bin/sh", "sh", "-c", script, nullptr);
      _exit(121);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  // The result of `ask` in a process under the default profile.
  static int Confined(int (*ask)()) {
    const pid_t child = fork();
    if (child == 0) {
      const int fd = open("/proc/self/attr/apparmor/current", O_WRONLY | O_CLOEXEC);
      const std::string command = absl::StrCat("changeprofile ", kDefaultAppArmorProfile);
      if (write(fd, command.data(), command.size()) < 0) _exit(120);
      _exit(ask());
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  TempDir dir_;
};

// 0, or an errno.
int Socket(int family, int type) {
  const int fd = socket(family, type | SOCK_CLOEXEC, 0);
  return fd < 0 ? errno : close(fd);
}

TEST_F(ConfinedTest, IsLoadedOnceAndNoted) {
  EXPECT_OK(CheckAppArmorProfile(kDefaultAppArmorProfile));
  EXPECT_EQ(*ReadFile(dir_.path() + "/note"), DefaultAppArmorText());
  EXPECT_OK(LoadDefaultAppArmor(dir_.path() + "/note", Soon()));
  EXPECT_THAT(CheckAppArmorProfile("no such"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ConfinedTest, AMalformedProfileIsRefused) {
  const absl::Status status = LoadAppArmor("profile broken {", Soon());
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(std::string(status.message()), HasSubstr("syntax error"));
}

TEST_F(ConfinedTest, OrdinaryWorkGoesOn) {
  EXPECT_EQ(Shell("grep -q '^crisp-default (enforce)' /proc/self/attr/apparmor/current"), 0);
  EXPECT_EQ(Shell("f=$(mktemp) && echo x >$f && rm $f && ls /proc /sys >/dev/null"), 0);
  EXPECT_EQ(Shell("echo 0 >/proc/self/oom_score_adj"), 0);
  EXPECT_EQ(Shell("cat /proc/sys/kernel/shm_rmid_forced >/proc/sys/kernel/shm_rmid_forced"), 0);
  EXPECT_EQ(Shell("sleep 9 & kill $! && ! wait $!"), 0);
}

TEST_F(ConfinedTest, TheMachinesPartsOfProcAndSysAreReadOnly) {
  for (const char* file :
       {"/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/domainname",
        "/proc/sys/kernel/sched_child_runs_first", "/proc/sys/net/ipv4/ip_forward",
        "/proc/sys/fs/file-max", "/proc/irq/default_smp_affinity"}) {
    if (access(file, W_OK) != 0) continue;
    const std::string script = absl::StrCat("value=$(cat ", file, ") && echo $value >", file);
    EXPECT_NE(Shell(script.c_str()), 0) << file;
  }
  EXPECT_NE(Shell("echo h >/proc/sysrq-trigger"), 0);
  EXPECT_NE(Shell("head -c 1 /proc/kcore"), 0);
  EXPECT_NE(Shell("echo 0 >/sys/kernel/mm/ksm/run"), 0);
  EXPECT_NE(Shell("cat /sys/kernel/security/apparmor/profiles"), 0);
}

TEST_F(ConfinedTest, NothingCanBeMounted) {
  EXPECT_NE(Shell("mount -t tmpfs none /mnt"), 0);
  EXPECT_NE(Shell("mount --bind /etc /mnt"), 0);
}

TEST_F(ConfinedTest, SocketsOfTheKernelsOwnKindsCannotBeMade) {
  EXPECT_EQ(Confined([] { return Socket(AF_INET, SOCK_DGRAM); }), 0);
  EXPECT_EQ(Confined([] { return Socket(AF_UNIX, SOCK_STREAM); }), 0);
  EXPECT_EQ(Confined([] { return Socket(AF_NETLINK, SOCK_RAW); }), 0);
  EXPECT_EQ(Confined([] { return Socket(AF_ALG, SOCK_SEQPACKET); }), EACCES);
  EXPECT_EQ(Confined([] { return Socket(AF_VSOCK, SOCK_STREAM); }), EACCES);
}

#ifdef __x86_64__
// socketcall(2) as 32-bit programs have it, whose arguments lie in memory, where no filter sees
// them. A descriptor, or -errno.
int SocketCall(int family, int type) {
  void* page =
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (page == MAP_FAILED) return -ENOMEM;
  auto* arguments = static_cast<uint32_t*>(page);
  arguments[0] = static_cast<uint32_t>(family);
  arguments[1] = static_cast<uint32_t>(type);
  arguments[2] = 0;
  constexpr int kSocketCall = 102, kMakeSocket = 1;
  int result = kSocketCall;
  asm volatile("int $0x80"
               : "+a"(result)
               : "b"(kMakeSocket), "c"(page)
               : "memory", "r8", "r9", "r10", "r11");
  return result;
}

TEST_F(ConfinedTest, NorPastAFilter) {
  // The kernel's entry may be compiled out or switched off.
  const int plain = Confined([] { return SocketCall(AF_INET, SOCK_DGRAM) >= 0 ? 0 : 1; });
  if (plain != 0) GTEST_SKIP() << "no 32-bit system calls";
  EXPECT_EQ(Confined([] { return -SocketCall(AF_ALG, SOCK_SEQPACKET); }), EACCES);
  EXPECT_EQ(Confined([] { return -SocketCall(AF_VSOCK, SOCK_STREAM); }), EACCES);
}
#endif

}  // namespace
}  // namespace crisp::runtime
