// Shims that wait for their pods.

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "runtime/client/testing/shim_test_pod.h"

namespace crisp::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The one child of this process, but for those of former pools that are about to end.
pid_t AwaitBroker() {
  pid_t broker = 0;
  (void)Eventually([&] {
    int count = 0;
    for (const pid_t child : ChildrenOf(getpid())) {
      if (StateOf(child) == 'Z') continue;
      broker = child;
      ++count;
    }
    return count == 1;
  });
  return broker;
}

// The shims of a pool that are no pod's: children of the child of this process, which starts them
// when it comes to it.
std::vector<pid_t> AwaitSpares(size_t count, const std::vector<pid_t>& pods) {
  std::vector<pid_t> spares;
  (void)Eventually([&] {
    spares.clear();
    for (const pid_t broker : ChildrenOf(getpid())) {
      for (const pid_t shim : ChildrenOf(broker)) {
        // Their log writers are its children, too, and begin no session.
        if (std::find(pods.begin(), pods.end(), shim) == pods.end() && getsid(shim) == shim &&
            CommOf(shim) == "crisp-shim") {
          spares.push_back(shim);
        }
      }
    }
    return spares.size() == count;
  });
  return spares;
}

// True once the log writers have let go of all that their shims had open when they were made: a
// shim whose writer has not cannot be told from one that lives by its socket.
bool WritersHoldNothing() {
  for (const pid_t broker : ChildrenOf(getpid())) {
    for (const pid_t pid : ChildrenOf(broker)) {
      if (getsid(pid) == pid) continue;
      const auto fds = ListDir(absl::StrCat("/proc/", pid, "/fd"));
      if (!fds.ok() || fds->size() != 1) return false;
    }
  }
  return true;
}

uint64_t InodeOf(int fd) {
  struct stat st {};
  return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

class ShimSparesTest : public ShimTest {
 protected:
  void StartPool(int spares, const PodPlan& usual = {}) {
    pool_.reset();
    ASSERT_OK_AND_ASSIGN(pool_, ShimPool::Create({.shim_binary = CRISP_SHIM_BINARY,
                                                  .storage_root = storage_,
                                                  .spares = spares,
                                                  .usual = usual},
                                                 &observer_));
  }
  // Notes which namespace has which key.
  absl::Status PrepareAll() {
    absl::Status status;
    (void)Eventually([&] { return !absl::IsDeadlineExceeded(status = Prepare()); });
    return status;
  }
  absl::Status Prepare() {
    return pool_->PrepareSpares([this](const std::string& key, int netns_fd, int rtnl_fd) {
      EXPECT_GE(rtnl_fd, 0);
      EXPECT_EQ(namespaces_.count(key), 0u);
      namespaces_[key] = InodeOf(netns_fd);
      return absl::OkStatus();
    });
  }
  std::shared_ptr<Shim> Start(bool prepared) {
    auto shim = pool_->StartPod(MakePod(), Operation(), nullptr, prepared);
    EXPECT_OK(shim);
    return shim.ok() ? *shim : nullptr;
  }
  std::map<std::string, uint64_t> namespaces_;
};

TEST_F(ShimSparesTest, BecomePodsAndMayDie) {
  StartPool(1);
  const std::vector<pid_t> first = AwaitSpares(1, {});
  ASSERT_EQ(first.size(), 1u);
  StartPod();
  EXPECT_EQ(shim_->pid(), first[0]);
  EXPECT_THAT(
      RunScript(
          "hostname; cat /proc/sys/kernel/shmmni; touch /dev/shm/a && echo shm; ls /sys/class/net"),
      HasSubstr("testpod\n4096\nshm\nlo\n"));
  const std::shared_ptr<Shim> one = shim_;
  pool_->AddSpares();
  // The next one is ready, is not for a pod on the host's network, and may die unnoticed: before it
  // is taken, or with its plan unread.
  const std::vector<pid_t> second = AwaitSpares(1, {one->pid()});
  ASSERT_EQ(second.size(), 1u);
  PodPlan on_host = MakePod();
  on_host.new_net = on_host.new_uts = false;
  on_host.hostname.clear();
  StartPod(on_host);
  EXPECT_NE(shim_->pid(), second[0]);
  EXPECT_OK(shim_->Shutdown());
  ASSERT_EQ(kill(second[0], SIGKILL), 0);
  StartPod();
  const std::shared_ptr<Shim> two = shim_;
  pool_->AddSpares();
  const std::vector<pid_t> third = AwaitSpares(1, {one->pid(), two->pid()});
  ASSERT_EQ(third.size(), 1u);
  ASSERT_EQ(kill(third[0], SIGSTOP), 0);
  ASSERT_OK_AND_ASSIGN(shim_, pool_->StartPod(MakePod(), Operation(), [&] {
    return kill(third[0], SIGKILL) == 0 ? absl::OkStatus() : absl::InternalError("kill");
  }));
  EXPECT_EQ(RunScript("hostname"), "testpod\n");
  EXPECT_OK(one->Shutdown());
  EXPECT_OK(two->Shutdown());
}

TEST_F(ShimSparesTest, HaveDoneTheUsual) {
  const std::string low = "net.ipv4.ip_unprivileged_port_start", queue = "kernel.msgmax";
  PodPlan usual;
  usual.sysctls = {{low, "77"}};
  const std::string script =
      "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax; "
      "df -k /dev/shm | awk 'END {print $2}'";
  const auto pod_of = [&](std::vector<std::pair<std::string, std::string>> sysctls) {
    StartPool(1, usual);
    const std::vector<pid_t> spares = AwaitSpares(1, {});
    PodPlan plan = MakePod();
    plan.sysctls = std::move(sysctls);
    plan.shm_bytes = plan.sysctls.size() == 1 ? usual.shm_bytes : 8u << 20;
    shim_ = pool_->StartPod(plan, Operation()).value();
    const bool spare = spares.size() == 1 && shim_->pid() == spares[0];
    ContainerPlan container = MakeContainer(script);
    container.mounts.push_back({.destination = "/dev/shm", .source = "pod:shm"});
    const std::string said = Run(container);
    EXPECT_OK(shim_->Shutdown());
    return absl::StrCat(spare, " ", said);
  };
  EXPECT_EQ(pod_of({{low, "77"}}), "1 77\n8192\n65536\n");
  EXPECT_EQ(pod_of({{low, "78"}, {queue, "4096"}}), "1 78\n4096\n8192\n");
  // It would have a sysctl that it does not ask for.
  EXPECT_EQ(pod_of({}), "0 1024\n8192\n8192\n");
}

TEST_F(ShimSparesTest, EndWithTheirPool) {
  StartPool(3);
  const std::vector<pid_t> spares = AwaitSpares(3, {});
  ASSERT_EQ(spares.size(), 3u);
  pool_.reset();
  for (const pid_t spare : spares) {
    EXPECT_TRUE(Gone(spare));
  }
}

TEST_F(ShimSparesTest, PodsGetPreparedOnesWhereTheyWillDo) {
  StartPool(3);
  ASSERT_OK(PrepareAll());
  ASSERT_EQ(namespaces_.size(), 3u);
  ASSERT_OK(PrepareAll());  // nothing is left to do
  const std::vector<pid_t> spares = AwaitSpares(3, {});
  // None of them will do for this pod.
  const std::shared_ptr<Shim> plain = Start(false);
  EXPECT_THAT(plain->prepared_network(), IsEmpty());
  EXPECT_EQ(std::count(spares.begin(), spares.end(), plain->pid()), 0);
  std::vector<std::shared_ptr<Shim>> pods;
  for (int i = 0; i < 3; ++i) {
    pods.push_back(Start(true));
    EXPECT_EQ(std::count(spares.begin(), spares.end(), pods[i]->pid()), 1);
    ASSERT_EQ(namespaces_.count(pods[i]->prepared_network()), 1u);
    EXPECT_EQ(namespaces_[pods[i]->prepared_network()], InodeOf(pods[i]->netns_fd()));
    namespaces_.erase(pods[i]->prepared_network());
  }
  pods.push_back(Start(true));  // of its own
  EXPECT_THAT(pods.back()->prepared_network(), IsEmpty());
  for (const std::shared_ptr<Shim>& shim : pods) EXPECT_OK(shim->Shutdown());
  EXPECT_OK(plain->Shutdown());
}

TEST_F(ShimSparesTest, WhatCannotBePreparedIsASpareStill) {
  StartPool(2);
  int calls = 0;
  const auto refuse = [&](const std::string&, int, int) {
    ++calls;
    return absl::FailedPreconditionError("not now");
  };
  while (absl::IsDeadlineExceeded(pool_->PrepareSpares(refuse))) {
  }
  EXPECT_THAT(pool_->PrepareSpares(refuse), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(calls, 2);
  const std::vector<pid_t> spares = AwaitSpares(2, {});
  const std::shared_ptr<Shim> one = Start(true);
  EXPECT_THAT(one->prepared_network(), IsEmpty());
  EXPECT_EQ(std::count(spares.begin(), spares.end(), one->pid()), 1);
  ASSERT_OK(PrepareAll());
  EXPECT_EQ(namespaces_.size(), 1u);
  EXPECT_OK(one->Shutdown());
}

TEST_F(ShimSparesTest, SlowOnesArePreparedLater) {
  StartPool(1);
  shim_ = Start(true);
  const pid_t broker = AwaitBroker();
  ASSERT_EQ(kill(broker, SIGSTOP), 0);
  pool_->AddSpares();
  EXPECT_THAT(Prepare(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(namespaces_, IsEmpty());
  ASSERT_EQ(kill(broker, SIGCONT), 0);
  EXPECT_OK(PrepareAll());
  EXPECT_EQ(namespaces_.size(), 1u);
}

TEST_F(ShimSparesTest, AShimWhoseGreetingIsLostEnds) {
  StartPool(0);
  const pid_t broker = AwaitBroker();
  ASSERT_EQ(kill(broker, SIGSTOP), 0);
  const PodPlan plan = MakePod();
  EXPECT_THAT(pool_->StartPod(plan, Operation(absl::Now() + absl::Milliseconds(100))),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  ASSERT_EQ(kill(broker, SIGCONT), 0);
  // It comes to life after all, and is nobody's.
  ASSERT_TRUE(
      Eventually([&] { return access((plan.state_dir + "/shim.sock").c_str(), F_OK) == 0; }));
  EXPECT_TRUE(Eventually([&] { return ChildrenOf(broker).empty(); }));
}

TEST_F(ShimSparesTest, NobodyGetsOneThatIsBeingPrepared) {
  StartPool(1);
  std::shared_ptr<Shim> meanwhile;
  std::string key;
  const auto prepare = [&](const std::string& its_key, int netns_fd, int) {
    key = its_key;
    meanwhile = Start(true);
    EXPECT_NE(InodeOf(meanwhile->netns_fd()), InodeOf(netns_fd));
    return absl::OkStatus();
  };
  while (absl::IsDeadlineExceeded(pool_->PrepareSpares(prepare))) {
  }
  ASSERT_NE(meanwhile, nullptr);
  EXPECT_THAT(meanwhile->prepared_network(), IsEmpty());
  shim_ = Start(true);
  EXPECT_EQ(shim_->prepared_network(), key);
  EXPECT_OK(meanwhile->Shutdown());
}

TEST_F(ShimSparesTest, ADeadOneIsNobodys) {
  StartPool(2);
  ASSERT_OK(PrepareAll());
  const std::vector<pid_t> spares = AwaitSpares(2, {});
  ASSERT_EQ(spares.size(), 2u);
  ASSERT_TRUE(Eventually(WritersHoldNothing));
  ASSERT_EQ(kill(spares[0], SIGKILL), 0);
  EXPECT_TRUE(Gone(spares[0]));
  shim_ = Start(true);
  EXPECT_EQ(shim_->pid(), spares[1]);
  EXPECT_THAT(RunScript("hostname"), HasSubstr("testpod"));
  pool_->AddSpares();
  ASSERT_OK(PrepareAll());
  const std::vector<pid_t> third = AwaitSpares(2, {shim_->pid()});
  // With its plan unread: what was prepared in its namespace is not the pod's.
  for (const pid_t spare : third) ASSERT_EQ(kill(spare, SIGSTOP), 0);
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<Shim> other, pool_->StartPod(
                                                              MakePod(), Operation(),
                                                              [&] {
                                                                for (const pid_t spare : third)
                                                                  kill(spare, SIGKILL);
                                                                return absl::OkStatus();
                                                              },
                                                              /*prepared=*/true));
  EXPECT_THAT(other->prepared_network(), IsEmpty());
  EXPECT_EQ(std::count(third.begin(), third.end(), other->pid()), 0);
  EXPECT_OK(other->Shutdown());
}

TEST_F(ShimSparesTest, ABurstGetsEachOnce) {
  StartPool(4);
  std::atomic<bool> done = false;
  std::atomic<int> prepared = 0;
  std::thread preparer([&] {
    while (!done) {
      pool_->AddSpares();
      (void)pool_->PrepareSpares([&](const std::string&, int, int) {
        ++prepared;
        return absl::OkStatus();
      });
    }
  });
  constexpr int kThreads = 4, kPods = 6;
  std::vector<PodPlan> plans;
  for (int i = 0; i < kThreads * kPods; ++i) plans.push_back(MakePod());
  absl::Mutex mutex;
  std::map<std::string, int> takers;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPods; ++i) {
        auto shim = pool_->StartPod(plans[t * kPods + i], Operation(), nullptr, i % 3 != 0);
        ASSERT_OK(shim);
        const std::string key = (*shim)->prepared_network();
        EXPECT_TRUE(i % 3 != 0 || key.empty());
        if (!key.empty()) {
          absl::MutexLock lock(&mutex);
          EXPECT_EQ(++takers[key], 1);
        }
        EXPECT_OK((*shim)->Shutdown());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  done = true;
  preparer.join();
  EXPECT_GE(prepared, static_cast<int>(takers.size()));
}

}  // namespace
}  // namespace crisp::runtime
