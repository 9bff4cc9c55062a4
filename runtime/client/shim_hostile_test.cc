#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/testing/status_matchers.h"
#include "runtime/client/testing/shim_test_pod.h"

// Containers with every capability, which seek what other pods see, too.

namespace crisp::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The result, as bits.
enum : int {
  kEntered = 1,
  kRemounted = 2,
  kRebound = 4,
  kMade = 8,
  kRemoved = 16,
  kChanged = 32,
  kFound = 64
};

// Takes the container's root off and looks at what it was mounted over, in the container's own
// mount namespace and with the powers of the host's root; does its worst there.
int AttackBelowTheRoot(pid_t init) {
  const int mounts = open(absl::StrCat("/proc/", init, "/ns/mnt").c_str(), O_RDONLY | O_CLOEXEC);
  if (setns(mounts, CLONE_NEWNS) != 0 || umount2("/", MNT_DETACH) != 0 ||
      setns(mounts, CLONE_NEWNS) != 0) {
    return 0;
  }
  int done = kEntered;
  if (access("/left", F_OK) == 0) done |= kFound;
  if (mount(nullptr, "/", nullptr, MS_REMOUNT, "size=1m,nr_inodes=100") == 0 ||
      mount(nullptr, "/", nullptr, MS_REMOUNT, nullptr) == 0) {
    done |= kRemounted;
  }
  if (mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND, nullptr) == 0) done |= kRebound;
  if (mkdir("/left", 0755) == 0 || mknod("/node", S_IFREG | 0600, 0) == 0) done |= kMade;
  for (const char* slot : {"/s", "/e", "/n"}) {
    (void)umount2(slot, MNT_DETACH);
    if (rmdir(slot) == 0 || unlink(slot) == 0) done |= kRemoved;
  }
  if (chmod("/", 0700) == 0 || chown("/", 1, 1) == 0) done |= kChanged;
  return done;
}

int Attack(pid_t init) {
  const pid_t child = fork();
  if (child == 0) _exit(AttackBelowTheRoot(init));
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

class HostileTest : public ShimTest {
 protected:
  pid_t StartSleeper() {
    const ContainerPlan plan = MakeContainer("sleep 1000");
    EXPECT_OK(shim_->CreateContainer(plan, Operation()));
    const auto started = shim_->StartContainer(plan.container_id, Operation());
    EXPECT_OK(started);
    return started.ok() ? started->pid : 0;
  }
  // Another pod; the present one stays.
  void StartOther() {
    first_ = shim_;
    StartPod();
  }
  void TearDown() override {
    ShimTest::TearDown();
    if (first_ == nullptr) return;
    shim_ = first_;
    ShimTest::TearDown();
  }

 private:
  std::shared_ptr<Shim> first_;
};

TEST_F(HostileTest, WhatContainersAreMountedOverIsNobodysToChange) {
  StartPod();
  // The mount itself is the container's own, as all of its mounts are; what it shows is
  // everybody's.
  EXPECT_EQ(Attack(StartSleeper()), kEntered | kRebound);
  StartOther();
  EXPECT_EQ(Attack(StartSleeper()), kEntered | kRebound)
      << "nothing passes from one pod to another";
  ContainerPlan plan = MakeContainer("cat /hidden-file; ls /hidden; echo ran");
  plan.masked_paths = {"/hidden", "/hidden-file"};
  ASSERT_OK(MakeDirs(busybox_layer_ + "/hidden/secret"));
  ASSERT_OK(AtomicWriteFile(busybox_layer_ + "/hidden-file", "secret\n", 0644, Durability::kNone));
  EXPECT_EQ(Run(plan), "ran\n");
}

TEST_F(HostileTest, MasksStayEmptyAndAreThePodsOwn) {
  ASSERT_OK(MakeDirs(busybox_layer_ + "/hidden/secret"));
  ASSERT_OK(MakeDirs(busybox_layer_ + "/more/secret"));
  ASSERT_OK(AtomicWriteFile(busybox_layer_ + "/hidden-file", "secret\n", 0644, Durability::kNone));
  const std::vector<std::string> masked = {"/hidden", "/hidden-file", "/more"};
  StartPod();
  ContainerPlan attack = MakeContainer(
      "for m in /hidden /more; do"
      " mount -o remount,rw,nr_inodes=50,size=1m $m; mount -o remount,rw $m; mount -o "
      "remount,bind,rw $m;"
      " mkdir $m/made && echo made; touch $m/file && echo made; chmod 777 $m && echo changed; ls "
      "$m;"
      "done 2>/dev/null;"
      "mount -o remount,bind,rw /hidden-file; chmod 777 /hidden-file 2>/dev/null && echo changed;"
      "echo gone >/hidden-file; cat /hidden-file; stat -c '%d %a' /hidden");
  attack.masked_paths = masked;
  const std::string first = Run(attack);
  EXPECT_THAT(first, Not(HasSubstr("made")));
  EXPECT_THAT(first, Not(HasSubstr("changed")));
  EXPECT_THAT(first, Not(HasSubstr("gone")));
  EXPECT_THAT(first, HasSubstr(" 755\n"));
  StartOther();
  ContainerPlan other = MakeContainer("ls /hidden /more | wc -w; stat -c '%d %a' /hidden");
  other.masked_paths = masked;
  const std::string second = Run(other);
  EXPECT_THAT(second, HasSubstr("2\n"));  // the two names of the directories
  // The number begins a line.
  EXPECT_THAT("\n" + second, Not(HasSubstr("\n" + first)))
      << "two pods have one file system of masks";
}

}  // namespace
}  // namespace crisp::runtime
