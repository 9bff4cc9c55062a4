#include "runtime/apparmor.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status_matchers.h"

namespace crisp::runtime {
namespace {

using ::testing::HasSubstr;

Cancel Soon() { return Cancel(absl::Now() + absl::Minutes(1)); }

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

  TempDir dir_;
};

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
  for (const char* file : {"/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/domainname",
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

}  // namespace
}  // namespace crisp::runtime
