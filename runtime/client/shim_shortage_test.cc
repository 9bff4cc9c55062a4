// What a shim does while the kernel is short of something for longer than a call.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdlib>
#include <functional>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "runtime/client/testing/shim_test_pod.h"
#include "runtime/client/testing/syscall_injector.h"

namespace crisp::runtime {
namespace {

using ::testing::SizeIs;

class ShimShortageTest : public ShimTest {
 protected:
  void Start(const ContainerPlan& plan) {
    ASSERT_OK(shim_->CreateContainer(plan, Operation()));
    ASSERT_OK(shim_->StartContainer(plan.container_id, Operation()));
  }
  // A container that says so when the host tells it to, which costs the shim no call.
  ContainerPlan MakeSpeaker(const std::string& says) {
    ContainerPlan plan = MakeContainer(
        absl::StrCat("while test ! -e /told/go; do sleep 0.02; done; ", says, "; exec sleep 1000"));
    told_ = MakeDir("told");
    plan.mounts.push_back({.destination = "/told", .source = told_});
    return plan;
  }
  void Tell() { ASSERT_OK(AtomicWriteFile(told_ + "/go", "", 0644, Durability::kNone)); }
  // All there are of the pods.
  std::vector<pid_t> LogWriters() {
    std::vector<pid_t> writers;
    for (const pid_t broker : ChildrenOf(getpid())) {
      for (const pid_t pid : ChildrenOf(broker)) {
        if (getsid(pid) != pid && StateOf(pid) != 'Z') writers.push_back(pid);
      }
    }
    return writers;
  }
  // While these calls fail, and what is begun now comes to make them: the shim asks again and
  // again, and does nothing for ten milliseconds each time. Whoever is slow makes fewer.
  void ExpectRest(std::vector<long> calls, int error, const std::function<void()>& begin) {
    const SyscallInjector injector(
        shim_->pid(),
        {.calls = std::move(calls), .times = INT_MAX, .error = error, .watch = nullptr});
    ASSERT_TRUE(injector.works());
    begin();
    ASSERT_TRUE(Eventually([&] { return injector.fired(); }));
    constexpr int kMore = 30;
    const absl::Time begun = absl::Now();
    const int before = injector.failed();
    EXPECT_TRUE(Eventually([&] { return injector.failed() >= before + kMore; })) << "it gave up";
    EXPECT_GE(absl::Now() - begun, absl::Milliseconds(10 * (kMore - 2)));
  }
  std::string told_;
};

TEST_F(ShimShortageTest, AnExitIsToldOnceThereIsMemoryAgain) {
  StartPod();
  const ContainerPlan plan = MakeSpeaker("exit 7");
  Start(plan);
  ExpectRest({SYS_sendmsg}, ENOBUFS, [this] { Tell(); });
  EXPECT_EQ(observer_.WaitContainer(plan.container_id).exit_code, 7);
}

TEST_F(ShimShortageTest, ARequestIsHeardOnceThereIsMemoryAgain) {
  StartPod();
  const ContainerPlan plan = MakeContainer("exit 7");
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  std::thread asker;
  ExpectRest({SYS_recvmsg}, ENOMEM, [&] {
    asker = std::thread([&] { EXPECT_OK(shim_->StartContainer(plan.container_id, Operation())); });
  });
  asker.join();
  EXPECT_EQ(observer_.WaitContainer(plan.container_id).exit_code, 7);
}

TEST_F(ShimShortageTest, WhoConnectsWaitsWhileTheTableOfFilesIsFull) {
  const PodPlan pod = MakePod();
  StartPod(pod);
  std::thread daemon;
  absl::StatusOr<std::shared_ptr<Shim>> adopted;
  ExpectRest({SYS_accept4}, EMFILE, [&] {
    daemon =
        std::thread([&] { adopted = pool_->AdoptPod(pod.pod_id, pod.state_dir, Operation()); });
  });
  daemon.join();
  ASSERT_OK(adopted);
  shim_ = *adopted;
  EXPECT_OK(shim_->Report());
}

// The byte that wakes it, and the one that makes that good.
TEST_F(ShimShortageTest, ALogWriterIsWokenThoughThatFailsTwice) {
  StartPod();
  const ContainerPlan plan = MakeSpeaker("echo said");
  Start(plan);
  ASSERT_THAT(LogWriters(), SizeIs(1));
  const pid_t writer = LogWriters().front();
  ASSERT_TRUE(Eventually([&] { return StateOf(writer) == 'S'; }));
  const SyscallInjector injector(shim_->pid(), {.calls = {SYS_sendto},
                                                .times = 2,
                                                .error = ENOBUFS,
                                                .argument = 2,
                                                .value = 1,
                                                .watch = nullptr});
  ASSERT_TRUE(injector.works());
  Tell();
  EXPECT_TRUE(AwaitLog(plan, "said\n"));
  EXPECT_EQ(injector.failed(), 2);
}

TEST_F(ShimShortageTest, ALogWriterWhoseAnswerIsNotReadAtOnceKeepsItsRing) {
  StartPod();
  Start(MakeContainer("exec sleep 1000"));
  const std::vector<pid_t> before = LogWriters();
  const ContainerPlan plan = MakeContainer("echo said");
  {
    const SyscallInjector injector(shim_->pid(), {.calls = {SYS_recvfrom},
                                                  .times = 3,
                                                  .error = ENOMEM,
                                                  .argument = 3,
                                                  .value = MSG_DONTWAIT,
                                                  .watch = nullptr});
    ASSERT_TRUE(injector.works());
    EXPECT_OK(shim_->CreateContainer(plan, Operation()));
    EXPECT_EQ(injector.failed(), 3);
  }
  EXPECT_EQ(LogWriters(), before);
  ASSERT_OK(shim_->StartContainer(plan.container_id, Operation()));
  EXPECT_EQ(observer_.WaitContainer(plan.container_id).exit_code, 0);
  EXPECT_EQ(LogOf(plan), "said\n");
}

// Of one that is not watched the next would be started beside it, on the same ring.
TEST_F(ShimShortageTest, NoLogWriterIsMadeThatCannotBeWatched) {
  StartPod();
  const ContainerPlan plan = MakeSpeaker("echo said");
  Start(plan);
  const std::vector<pid_t> before = LogWriters();
  ASSERT_THAT(before, SizeIs(1));
  std::atomic<int> made = 0;
  const SyscallInjector injector(shim_->pid(), {.calls = {SYS_epoll_ctl},
                                                .times = 2,
                                                .error = ENOSPC,
                                                .argument = 1,
                                                .value = EPOLL_CTL_ADD,
                                                .watch = [&](long number, const unsigned long*) {
                                                  if (number == SYS_clone3) ++made;
                                                }});
  ASSERT_TRUE(injector.works());
  ASSERT_EQ(kill(before.front(), SIGKILL), 0);
  EXPECT_TRUE(Eventually([&] {
    const std::vector<pid_t> now = LogWriters();
    return injector.failed() == 2 && now.size() == 1 && now != before;
  }));
  EXPECT_EQ(made, 1);
  Tell();
  EXPECT_TRUE(AwaitLog(plan, "said\n"));
}

class ShimTerminalTest : public ShimShortageTest {
 protected:
  // Whether the shim is to be told of what comes from a terminal. Its epoll set says so in /proc.
  bool ReadsATerminal() {
    const std::string proc = absl::StrCat("/proc/", shim_->pid());
    const std::vector<std::string> fds = ListDir(proc + "/fd").value_or(std::vector<std::string>());
    for (const std::string& fd : fds) {
      if (!absl::StrContains(LinkOf(fd), "eventpoll")) continue;
      const std::string info = ReadFile(absl::StrCat(proc, "/fdinfo/", fd)).value_or("");
      for (absl::string_view line : absl::StrSplit(info, '\n')) {
        const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
        // "tfd: <number> events: <hexadecimal> …"
        if (words.size() < 4 || words[0] != "tfd:") continue;
        const bool in = (strtoul(words[3].c_str(), nullptr, 16) & EPOLLIN) != 0;
        if (in && absl::StrContains(LinkOf(words[1]), "ptmx")) return true;
      }
    }
    return false;
  }
  std::string LinkOf(const std::string& fd) {
    char target[256] = "";
    (void)!readlink(absl::StrCat("/proc/", shim_->pid(), "/fd/", fd).c_str(), target,
                    sizeof(target) - 1);
    return target;
  }
};

TEST_F(ShimTerminalTest, AnExecsGoesOnThoughItCannotBeWatchedForAMoment) {
  StartPod();
  const ContainerPlan plan = MakeContainer("exec sleep 1000");
  Start(plan);
  ExecPlan exec = MakeExec(plan.container_id, "seq 1 200000; exit 4");
  exec.process.terminal = true;
  int out[2];
  ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
  const UniqueFd reader(out[0]);
  UniqueFd writer(out[1]);
  ASSERT_OK(shim_->Exec(exec, {.stdout_fd = writer.get()}, Operation()));
  writer.reset();
  // Nobody reads: what there is to be read is left until there is room.
  ASSERT_TRUE(Eventually([&] { return !ReadsATerminal(); }));
  const SyscallInjector injector(shim_->pid(), {.calls = {SYS_epoll_ctl},
                                                .error = ENOSPC,
                                                .argument = 1,
                                                .value = EPOLL_CTL_ADD,
                                                .watch = nullptr});
  ASSERT_TRUE(injector.works());
  std::string said;
  constexpr int kPatience = 60000;
  for (pollfd wait = {.fd = reader.get(), .events = POLLIN, .revents = 0};
       poll(&wait, 1, kPatience) > 0;) {
    char buffer[65536];
    const ssize_t n = read(reader.get(), buffer, sizeof(buffer));
    if (n <= 0) break;
    said.append(buffer, static_cast<size_t>(n));
  }
  EXPECT_TRUE(injector.fired());
  EXPECT_THAT(said, ::testing::EndsWith("\r\n200000\r\n"));
  EXPECT_EQ(observer_.WaitExec(exec.exec_id).exit_code, 4);
}

}  // namespace
}  // namespace crisp::runtime
