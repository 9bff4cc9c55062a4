#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "runtime/client/testing/shim_test_pod.h"

namespace crisp::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string LinkOf(pid_t pid, const std::string& name) {
  char target[256] = "";
  (void)!readlink(absl::StrCat("/proc/", pid, "/", name).c_str(), target, sizeof(target) - 1);
  return target;
}

// A file system of its own, on which everything that writes or opens can be made to wait. Whatever
// becomes of the test, it does not stay so: a process of its own has frozen it, which thaws it when
// its parent dies.
class FrozenDisk {
 public:
  explicit FrozenDisk(const std::string& dir) : mount_(dir + "/disk") {
    const std::string image = dir + "/disk.img";
    ready_ = mkdir(mount_.c_str(), 0755) == 0 &&
             system(absl::StrCat("truncate -s 32M ", image, " && mkfs.ext4 -q -F ", image,
                                 " && mount -o loop ", image, " ", mount_)
                        .c_str()) == 0;
    if (ready_) fd_.reset(open(mount_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  ~FrozenDisk() {
    Thaw();
    fd_.reset();
    // The containers that write there end after the test's body.
    if (ready_) (void)umount2(mount_.c_str(), MNT_DETACH);
  }
  bool ready() const { return ready_; }
  const std::string& path() const { return mount_; }
  bool Freeze() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    const UniqueFd ours(ends[0]);
    UniqueFd theirs(ends[1]);
    const pid_t parent = getpid();
    freezer_ = fork();
    if (freezer_ == 0) BeFreezer(parent, theirs.get());
    theirs.reset();
    char frozen = 0;
    return freezer_ > 0 && read(ours.get(), &frozen, 1) == 1;
  }
  void Thaw() {
    if (freezer_ <= 0) return;
    (void)kill(freezer_, SIGTERM);
    (void)waitpid(freezer_, nullptr, 0);
    freezer_ = -1;
  }
  bool frozen() const {
    if (ioctl(fd_.get(), FIFREEZE, 0) != 0) return true;
    (void)ioctl(fd_.get(), FITHAW, 0);
    return false;
  }

 private:
  [[noreturn]] void BeFreezer(pid_t parent, int ready) const {
    setsid();  // whoever kills the test kills its group
    sigset_t end;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    sigprocmask(SIG_BLOCK, &end, nullptr);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent || ioctl(fd_.get(), FIFREEZE, 0) != 0) _exit(1);
    (void)!write(ready, "", 1);
    int signal = 0;
    (void)sigwait(&end, &signal);
    _exit(ioctl(fd_.get(), FITHAW, 0) == 0 ? 0 : 1);
  }

  const std::string mount_;
  UniqueFd fd_;
  pid_t freezer_ = -1;
  bool ready_ = false;
};

class ShimLogTest : public ShimTest {
 protected:
  // The pod's, which is a child of the broker's as the shim is.
  pid_t WriterOf(pid_t shim) {
    for (const pid_t broker : ChildrenOf(getpid())) {
      for (const pid_t pid : ChildrenOf(broker)) {
        if (pid != shim && CommOf(pid) == "crisp-log") return pid;
      }
    }
    return 0;
  }
  void StartContainer(const ContainerPlan& plan) {
    ASSERT_OK(shim_->CreateContainer(plan, Operation()));
    ASSERT_OK(shim_->StartContainer(plan.container_id, Operation()));
  }
  // Whether the pod's writer has come to wait for a disk.
  bool AwaitHang() {
    return Eventually([this] { return StateOf(WriterOf(shim_->pid())) == 'D'; });
  }
};

// What it takes at least: of some times, for a machine may be busy with others during any of them.
absl::Duration Least(const std::function<void()>& act) {
  absl::Duration least = absl::InfiniteDuration();
  for (int i = 0; i < 5; ++i) {
    const absl::Time begun = absl::Now();
    act();
    least = std::min(least, absl::Now() - begun);
  }
  return least;
}

TEST_F(ShimLogTest, OnlyARegularFileBecomesALog) {
  StartPod();
  const std::string dir = run_ + "/logs";
  ASSERT_OK(MakeDirs(dir + "/real"));
  ASSERT_EQ(mkfifo((dir + "/fifo").c_str(), 0600), 0);
  ASSERT_EQ(mknod((dir + "/device").c_str(), S_IFCHR | 0600, 0x103), 0);
  ASSERT_EQ(mkdir((dir + "/directory").c_str(), 0755), 0);
  ASSERT_EQ(symlink("real/elsewhere", (dir + "/link").c_str()), 0);
  ASSERT_EQ(symlink("real", (dir + "/linked").c_str()), 0);
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = ""};
  const std::string at = dir + "/socket";
  ASSERT_LT(at.size(), sizeof(address.sun_path));
  memcpy(address.sun_path, at.c_str(), at.size() + 1);
  ASSERT_EQ(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  const std::pair<const char*, const char*> all[] = {
      {"fifo", "a FIFO"},           {"device", "a device"}, {"directory", "a directory"},
      {"link", "a symbolic link"},  {"socket", "a socket"}, {"linked/0.log", "linked"},
      {"../escaped.log", "escaped"}};
  for (const auto& [name, why] : all) {
    ContainerPlan plan = MakeContainer("true");
    plan.log_path = absl::StrCat(dir, "/./", name);
    const absl::Status made = shim_->CreateContainer(plan, Operation());
    EXPECT_FALSE(made.ok()) << name;
    EXPECT_THAT(made.ToString(), HasSubstr(why)) << name;
    EXPECT_THAT(made.ToString(), Not(HasSubstr("does not answer"))) << name << " was waited for";
  }
  EXPECT_NE(access((dir + "/real/elsewhere").c_str(), F_OK), 0);
  EXPECT_NE(access((dir + "/real/0.log").c_str(), F_OK), 0);
  EXPECT_NE(access((run_ + "/escaped.log").c_str(), F_OK), 0);
  ContainerPlan plan = MakeContainer("echo fine");
  plan.log_path = absl::StrCat(dir, "/./a/b/0.log");
  EXPECT_EQ(Run(plan), "fine\n");
}

TEST_F(ShimLogTest, WhatAppearsAtARotationIsRefusedAndTheOldFileGoesOn) {
  StartPod();
  ContainerPlan plan = MakeContainer("while :; do echo tick; sleep 0.02; done");
  plan.log_path = run_ + "/./0.log";
  StartContainer(plan);
  ASSERT_TRUE(AwaitLog(plan, "tick\n"));
  const std::string old = plan.log_path + ".1";
  ASSERT_EQ(rename(plan.log_path.c_str(), old.c_str()), 0);
  ASSERT_EQ(mkfifo(plan.log_path.c_str(), 0600), 0);
  EXPECT_THAT(shim_->ReopenLog(plan.container_id).ToString(), HasSubstr("a FIFO"));
  const size_t before = ReadFile(old).value_or("").size();
  EXPECT_TRUE(Eventually([&] { return ReadFile(old).value_or("").size() > before; }));
  ASSERT_EQ(unlink(plan.log_path.c_str()), 0);
  EXPECT_OK(shim_->ReopenLog(plan.container_id));
}

TEST_F(ShimLogTest, ReopenMakesDirectoryAndFileAnew) {
  StartPod();
  ContainerPlan plan = MakeContainer("while :; do echo tick; sleep 0.02; done");
  const std::string logs = run_ + "/pods/ns_pod_uid";
  plan.log_path = logs + "/./container/0.log";
  StartContainer(plan);
  ASSERT_EQ(system(absl::StrCat("rm -r ", run_, "/pods").c_str()), 0);
  ASSERT_OK(shim_->ReopenLog(plan.container_id));
  EXPECT_TRUE(AwaitLog(plan, "tick\n"));
  struct stat status;
  ASSERT_EQ(stat(plan.log_path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
}

TEST_F(ShimLogTest, NoDiskStaysFrozenWhenATestIsKilled) {
  FrozenDisk disk(run_);
  if (!disk.ready()) GTEST_SKIP() << "no loop mounts";
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  const pid_t test = fork();
  if (test == 0) {
    (void)!write(theirs.get(), disk.Freeze() ? "f" : "-", 1);
    while (true) pause();
  }
  theirs.reset();
  char frozen = 0;
  EXPECT_EQ(read(ours.get(), &frozen, 1), 1);
  EXPECT_EQ(frozen, 'f');
  EXPECT_TRUE(disk.frozen());
  ASSERT_EQ(kill(test, SIGKILL), 0);
  ASSERT_EQ(waitpid(test, nullptr, 0), test);
  EXPECT_TRUE(Eventually([&] { return !disk.frozen(); }));
}

TEST_F(ShimLogTest, AFrozenDiskHoldsUpOnlyWhoWritesThere) {
  FrozenDisk disk(run_);
  if (!disk.ready()) GTEST_SKIP() << "no loop mounts";
  StartPod();
  ContainerPlan chatty = MakeContainer("while :; do seq 1 20000; sleep 0.1; done");
  chatty.log_path = disk.path() + "/./chatty/0.log";
  const ContainerPlan quiet = MakeContainer("exec sleep 1000");
  StartContainer(chatty);
  StartContainer(quiet);
  ASSERT_TRUE(AwaitLog(chatty, "1\n"));
  ASSERT_TRUE(disk.Freeze());
  ASSERT_TRUE(AwaitHang());
  const std::vector<const ContainerPlan*> both = {&quiet, &chatty};
  // Nothing that waits for the disk comes back. What waits for it a while takes seconds.
  for (const ContainerPlan* plan : both) {
    EXPECT_LT(
        Least([&] { EXPECT_EQ(RunExec(MakeExec(plan->container_id, "echo here")), "here\n"); }),
        absl::Seconds(2))
        << "an exec";
  }
  const auto refused =
      StatusIs(absl::StatusCode::kUnavailable, HasSubstr("the file system does not answer"));
  const auto create_there = [&] {
    ContainerPlan late = MakeContainer("true");
    late.log_path = disk.path() + "/./late/0.log";
    EXPECT_THAT(shim_->CreateContainer(late, Operation()), refused);
  };
  create_there();
  EXPECT_LT(Least(create_there), absl::Seconds(1)) << "another create there";
  EXPECT_LT(Least([&] { EXPECT_THAT(shim_->ReopenLog(chatty.container_id), refused); }),
            absl::Seconds(1))
      << "a reopen there";
  // An exit that waits for its log is told after ten seconds.
  for (const ContainerPlan* plan : both) {
    const absl::Time begun = absl::Now();
    ASSERT_OK(shim_->Signal(plan->container_id, SIGKILL));
    const ExitRecord record = observer_.WaitContainer(plan->container_id);
    EXPECT_LT(absl::Now() - begun, absl::Seconds(9));
    EXPECT_EQ(record.exit_code, 137);
    EXPECT_TRUE(record.log_truncated || plan == &quiet);
  }
  // What hangs has nothing of the pod's, and the shim ends without it.
  const pid_t writer = WriterOf(shim_->pid());
  ASSERT_GT(writer, 0);
  for (const char* name : {"ns/net", "ns/ipc", "ns/uts", "ns/mnt"}) {
    EXPECT_EQ(LinkOf(writer, name), LinkOf(getpid(), name)) << name;
  }
  ASSERT_OK_AND_ASSIGN(const auto fds, ListDir(absl::StrCat("/proc/", writer, "/fd")));
  for (const std::string& fd : fds) {
    const std::string target = LinkOf(writer, "fd/" + fd);
    EXPECT_TRUE(absl::StartsWith(target, disk.path()) || absl::StartsWith(target, "socket:") ||
                absl::StartsWith(target, run_))
        << target;
  }
  // One that does not end by itself is killed after ten seconds.
  const absl::Time asked = absl::Now();
  EXPECT_OK(shim_->Shutdown());
  EXPECT_LT(absl::Now() - asked, absl::Seconds(9)) << "it was killed";
  shim_ = nullptr;
  disk.Thaw();
  EXPECT_TRUE(Eventually([&] { return CommOf(writer) != "crisp-log"; }));
}

TEST_F(ShimLogTest, AfterALongHangTheLogSaysWhatIsMissing) {
  FrozenDisk disk(run_);
  if (!disk.ready()) GTEST_SKIP() << "no loop mounts";
  StartPod();
  ContainerPlan plan =
      MakeContainer("while :; do seq 1 20000; echo >>/tmp/rounds; sleep 0.1; done");
  plan.log_path = disk.path() + "/./0.log";
  StartContainer(plan);
  const auto rounds = [&] { return ReadFile(plan.upper_dir + "/tmp/rounds").value_or("").size(); };
  ASSERT_TRUE(Eventually([&] { return rounds() > 0; }));
  ASSERT_TRUE(disk.Freeze());
  // The container waits for some seconds, and then goes on without its log: this is twice what may
  // wait.
  const size_t frozen = rounds();
  EXPECT_TRUE(Eventually([&] { return rounds() > frozen + 20; }));
  disk.Thaw();
  EXPECT_TRUE(AwaitLog(plan, "bytes of log dropped\n"));
}

TEST_F(ShimLogTest, AShortHangLosesNothing) {
  FrozenDisk disk(run_);
  if (!disk.ready()) GTEST_SKIP() << "no loop mounts";
  StartPod();
  ContainerPlan plan = MakeContainer("seq 1 200000");
  plan.log_path = disk.path() + "/./0.log";
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  ASSERT_TRUE(disk.Freeze());
  ASSERT_OK(shim_->StartContainer(plan.container_id, Operation()));
  EXPECT_TRUE(AwaitHang());
  disk.Thaw();
  EXPECT_EQ(observer_.WaitContainer(plan.container_id).exit_code, 0);
  std::string expected;
  for (int i = 1; i <= 200000; ++i) absl::StrAppend(&expected, i, "\n");
  EXPECT_TRUE(LogOf(plan) == expected);
}

TEST_F(ShimLogTest, AKilledWriterIsReplaced) {
  StartPod();
  const ContainerPlan plan =
      MakeContainer("i=0; while test $i -lt 200; do i=$((i+1)); echo $i; sleep 0.01; done");
  StartContainer(plan);
  ASSERT_TRUE(AwaitLog(plan, "1\n"));
  const pid_t writer = WriterOf(shim_->pid());
  ASSERT_GT(writer, 0);
  ASSERT_EQ(kill(writer, SIGKILL), 0);
  EXPECT_EQ(observer_.WaitContainer(plan.container_id).exit_code, 0);
  const std::string log = LogOf(plan);
  for (int i = 1; i <= 200; ++i) EXPECT_THAT("\n" + log, HasSubstr(absl::StrCat("\n", i, "\n")));
}

TEST_F(ShimLogTest, WhoLogsFasterThanAllowedWaitsAndLosesNothing) {
  ASSERT_OK_AND_ASSIGN(
      pool_, ShimPool::Create(
                 {.shim_binary = CRISP_SHIM_BINARY, .storage_root = storage_, .log_rate = 4 << 20},
                 &observer_));
  StartPod();
  const ContainerPlan plan =
      MakeContainer(absl::StrCat("yes ", std::string(199, 'x'), " | head -c 8000000"));
  const absl::Time begun = absl::Now();
  StartContainer(plan);
  EXPECT_EQ(observer_.WaitContainer(plan.container_id).exit_code, 0);
  EXPECT_GT(absl::Now() - begun, absl::Seconds(1));
  EXPECT_EQ(LogOf(plan).size(), 8000000u);
}

TEST_F(ShimLogTest, ReadersThatDoNotReadShareABudget) {
  StartPod();
  const ContainerPlan plan = MakeContainer(
      absl::StrCat(kOnGo, "yes ", std::string(199, 'x'), " | head -c 3900000; exec sleep 1000"));
  StartContainer(plan);
  std::vector<UniqueFd> readers;
  for (int i = 0; i < 40; ++i) {
    int out[2];
    ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
    readers.emplace_back(out[0]);
    const UniqueFd writer(out[1]);
    ASSERT_OK(shim_->Attach(plan.container_id, {.stdout_fd = writer.get()}));
  }
  Go(plan);
  ASSERT_TRUE(Eventually([&] { return LogOf(plan).size() >= 3900000; }));
  ASSERT_EQ(LogOf(plan).size(), 3900000u);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // those keep what was freed
  const std::string status = ReadFile(absl::StrCat("/proc/", shim_->pid(), "/status")).value_or("");
  const size_t at = status.find("RssAnon:");
  ASSERT_NE(at, std::string::npos);
  EXPECT_LT(atoi(status.c_str() + at + 8), 20 << 10) << "kB";
#endif
  // Those that were cut off have been told; the others have everything. Neither waits for more.
  constexpr int kPatience = 60000;
  int cut = 0, whole = 0;
  for (const UniqueFd& reader : readers) {
    size_t got = 0;
    char buffer[65536];
    bool ended = false;
    for (pollfd wait = {.fd = reader.get(), .events = POLLIN, .revents = 0};
         !ended && got < 3900000 && poll(&wait, 1, kPatience) > 0;) {
      const ssize_t n = read(reader.get(), buffer, sizeof(buffer));
      if (n > 0) got += static_cast<size_t>(n);
      ended = n <= 0;
    }
    if (ended) ++cut;
    if (!ended && got == 3900000) ++whole;
  }
  EXPECT_GE(whole, 3);
  EXPECT_EQ(cut + whole, 40);
}

}  // namespace
}  // namespace crisp::runtime
