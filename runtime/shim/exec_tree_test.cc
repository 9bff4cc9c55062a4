// How the tree of an exec is killed. The cgroup is a directory with files of the same names, its
// processes are descendants of this test.

#include "runtime/shim/exec_tree.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "gtest/gtest.h"
#include "runtime/shim/testing/fake_kernel.h"

namespace crisp::shim {
namespace {

// Begins a session, in which it makes a process whenever it is asked to.
class Leader {
 public:
  Leader() {
    EXPECT_EQ(pipe2(orders_, O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(made_, O_CLOEXEC), 0);
    pid_ = fork();
    if (pid_ == 0) Serve();
    EXPECT_EQ(Read(), pid_);  // its session has begun
  }
  ~Leader() {
    (void)kill(-pid_, SIGKILL);
    (void)waitpid(pid_, nullptr, 0);
    for (const int fd : {orders_[0], orders_[1], made_[0], made_[1]}) close(fd);
  }
  pid_t pid() const { return pid_; }
  // In the session; with a child that is not.
  pid_t Make() { return Order('m'); }
  // Its first thread has ended, another lives.
  pid_t MakeHeadless() { return Order('h'); }
  // It has ended and left a child.
  std::vector<pid_t> MakeHeir() {
    const pid_t parent = Order('e');
    const pid_t child = Read();
    EXPECT_TRUE(Eventually([&] { return kill(parent, 0) != 0; }));
    return {parent, child};
  }
  std::vector<pid_t> MakeWithStray() {
    const pid_t parent = Order('s');
    return {parent, Read()};
  }

 private:
  pid_t Order(char order) {
    EXPECT_EQ(write(orders_[1], &order, 1), 1);
    return Read();
  }
  pid_t Read() {
    pid_t pid = 0;
    EXPECT_EQ(read(made_[0], &pid, sizeof(pid)), ssize_t{sizeof(pid)});
    return pid;
  }
  void Tell(pid_t pid) { (void)!write(made_[1], &pid, sizeof(pid)); }
  [[noreturn]] void Serve() {
    setsid();
    Tell(getpid());
    signal(SIGCHLD, SIG_IGN);  // those that end are gone at once
    char order;
    while (read(orders_[0], &order, 1) == 1) {
      if (fork() != 0) continue;
      Tell(getpid());
      if (order == 's' && fork() == 0) {
        setsid();
        Tell(getpid());
      }
      if (order == 'e') {
        if (fork() != 0) _exit(0);
        Tell(getpid());
      }
      if (order == 'h') {
        std::thread([] {
          while (true) pause();
        }).detach();
        syscall(SYS_exit, 0);
      }
      while (true) pause();
    }
    _exit(0);
  }
  pid_t pid_ = -1;
  int orders_[2], made_[2];
};

class KillTreeTest : public ::testing::Test {
 protected:
  KillTreeTest() {
    g_kernel = FakeKernel();
    g_kernel.processes = true;
    Write("freezer.state", "THAWED");
    List({});
  }
  std::string PathOf(const std::string& name) const { return group_.path() + "/" + name; }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_OK(AtomicWriteFile(PathOf(name), text, 0644, Durability::kNone));
  }
  void List(const std::vector<pid_t>& pids) {
    std::string text;
    for (const pid_t pid : pids) absl::StrAppend(&text, pid, "\n");
    Write("cgroup.procs", text);
  }
  void Begin() {
    ASSERT_TRUE(BeginKillTree({.cgroup = group_.path().c_str(), .pid = leader_.pid(), .mark = 0}))
        << g_error.text;
  }
  // Of a process that has its SIGKILL it is a matter of time.
  static bool Lives(pid_t pid) {
    const std::string status =
        ReadFile(absl::StrCat("/proc/", pid, "/status")).value_or("State:\tZ");
    const size_t pending = status.find("ShdPnd:\t");
    const bool killed = pending != std::string::npos &&
                        (std::stoull(status.substr(pending + 8, 16), nullptr, 16) >> 8 & 1) != 0;
    return !killed && status.find("State:\tZ") == std::string::npos &&
           status.find("State:\tX") == std::string::npos;
  }
  static int CountLiving(const std::vector<pid_t>& pids) {
    int count = 0;
    for (const pid_t pid : pids) count += Lives(pid) ? 1 : 0;
    return count;
  }
  // Until there is nothing more to do.
  static Killing KillAll() {
    for (int turn = 0; turn < 10000; ++turn) {
      if (const Killing killing = KillSome(); killing != Killing::kGoesOn) return killing;
    }
    return Killing::kGoesOn;
  }
  const TempDir group_;
  Leader leader_;
};

TEST_F(KillTreeTest, ASessionAndItsDescendantsDieAndNobodyElse) {
  Leader other;
  const pid_t bystander = other.Make();
  std::vector<pid_t> tree = leader_.MakeWithStray();
  tree.push_back(leader_.Make());
  std::vector<pid_t> all = tree;
  all.push_back(bystander);
  List(all);
  Begin();
  EXPECT_EQ(KillAll(), Killing::kDone);
  EXPECT_EQ(CountLiving(tree), 0);
  EXPECT_TRUE(Lives(bystander));
}

TEST_F(KillTreeTest, WhoeverMovedBelowTheCgroupDiesAsWell) {
  const pid_t below = leader_.Make();
  ASSERT_OK(MakeDirs(PathOf("deep/er")));
  Write("deep/er/cgroup.procs", absl::StrCat(below, "\n"));
  Begin();
  EXPECT_EQ(KillAll(), Killing::kDone);
  EXPECT_FALSE(Lives(below));
}

// What a bomb is made of: whoever was listed has ended, and its child was not listed.
TEST_F(KillTreeTest, WhoEndsBetweenTheListAndTheLookMayHaveLeftAChild) {
  const std::vector<pid_t> heir = leader_.MakeHeir();
  List({heir[0]});
  Begin();
  for (int turn = 0; turn < 4; ++turn) ASSERT_EQ(KillSome(), Killing::kGoesOn) << turn;
  List({heir[1]});
  EXPECT_EQ(KillAll(), Killing::kDone);
  EXPECT_FALSE(Lives(heir[1]));
}

TEST_F(KillTreeTest, WhoseFirstThreadHasEndedDiesAsWell) {
  for (const uint64_t mark : {uint64_t{0}, CgroupNamespaceOf(getpid())}) {
    const pid_t headless = leader_.MakeHeadless();
    const std::string status = absl::StrCat("/proc/", headless, "/status");
    ASSERT_TRUE(
        Eventually([&] { return absl::StrContains(ReadFile(status).value_or(""), "State:\tZ"); }));
    List({headless});
    ASSERT_TRUE(
        BeginKillTree({.cgroup = group_.path().c_str(), .pid = leader_.pid(), .mark = mark}));
    EXPECT_EQ(KillAll(), Killing::kDone);
    EXPECT_TRUE(Eventually([&] { return kill(headless, 0) != 0; }));
  }
}

TEST_F(KillTreeTest, ManyDieAFewAtATime) {
  std::vector<pid_t> tree;
  for (int i = 0; i < 200; ++i) tree.push_back(leader_.Make());
  List(tree);
  Begin();
  int living = 200, turns = 0;
  while (KillSome() == Killing::kGoesOn) {
    const int now = CountLiving(tree);
    EXPECT_LE(living - now, 64) << "in turn " << turns;
    living = now;
    ++turns;
  }
  EXPECT_EQ(living, 0);
  EXPECT_GT(turns, 200 / 64);
}

// Round after round there is one more: the cgroup is frozen then. The kernel refuses to thaw it.
TEST_F(KillTreeTest, ACgroupIsThawedThoughThatIsRefusedForAWhile) {
  Begin();
  const auto freezer = [this](const char* name) { return ReadFile(PathOf(name)).value_or(""); };
  std::vector<pid_t> tree;
  for (int i = 0; i < 1000 && freezer("freezer.state") != "FROZEN"; ++i) {
    tree.push_back(leader_.Make());
    List(tree);
    ASSERT_EQ(KillSome(), Killing::kGoesOn);
  }
  ASSERT_EQ(freezer("freezer.state"), "FROZEN");
  ASSERT_EQ(rename(PathOf("freezer.state").c_str(), PathOf("kept").c_str()), 0);
  ASSERT_EQ(mkdir(PathOf("freezer.state").c_str(), 0755), 0);
  for (int i = 0; i < 50; ++i) ASSERT_EQ(KillSome(), Killing::kGoesOn) << i;
  EXPECT_EQ(KillPause(), 1) << "it asks without a pause";
  ASSERT_EQ(rmdir(PathOf("freezer.state").c_str()), 0);
  ASSERT_EQ(rename(PathOf("kept").c_str(), PathOf("freezer.state").c_str()), 0);
  EXPECT_EQ(KillAll(), Killing::kDone);
  EXPECT_EQ(freezer("freezer.state"), "THAWED");
  EXPECT_EQ(CountLiving(tree), 0);
}

TEST_F(KillTreeTest, WhatSomebodyElseHasFrozenStaysSo) {
  Write("freezer.state", "FROZEN");
  Begin();
  std::vector<pid_t> tree;
  for (int i = 0; i < 100; ++i) {
    tree.push_back(leader_.Make());
    List(tree);
    ASSERT_EQ(KillSome(), Killing::kGoesOn);
  }
  EXPECT_EQ(KillAll(), Killing::kDone);
  EXPECT_EQ(ReadFile(PathOf("freezer.state")).value_or(""), "FROZEN");
  EXPECT_EQ(CountLiving(tree), 0);
}

TEST_F(KillTreeTest, GivesUpWhoForksWithoutEndAndThawsThem) {
  Begin();
  Killing killing = Killing::kGoesOn;
  for (int i = 0; i < 2000 && killing == Killing::kGoesOn; ++i) {
    List({leader_.Make()});
    killing = KillSome();
  }
  EXPECT_EQ(killing, Killing::kFailed);
  EXPECT_EQ(g_error.code, kDeadlineExceeded);
  EXPECT_EQ(ReadFile(PathOf("freezer.state")).value_or(""), "THAWED");
}

TEST_F(KillTreeTest, ACgroupThatIsGoneHasNobody) {
  const std::string gone = PathOf("gone");
  ASSERT_TRUE(BeginKillTree({.cgroup = gone.c_str(), .pid = leader_.pid(), .mark = 0}));
  // Only the session is known then, and it is not asked for.
  EXPECT_EQ(KillSome(), Killing::kDone);
  EXPECT_TRUE(Lives(leader_.pid()));
}

}  // namespace
}  // namespace crisp::shim
