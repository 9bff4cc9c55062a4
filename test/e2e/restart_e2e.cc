// The daemon may die at any instant: pods, logs, exit codes and addresses live on, and what a
// kubelet then repeats ends in the right state with nothing left over.
#include <grpcpp/grpcpp.h>
#include <signal.h>

#include <iostream>
#include <random>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/json.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "base/testing/test_time.h"
#include "daemon.h"
#include "node.h"

namespace crisp::e2e {
namespace {

using ::testing::HasSubstr;

TEST(Restart, ContainersLogsAndAddressesLiveOn) {
  Daemon daemon;
  daemon.Start();
  Node node(daemon, daemon.ImportImage());
  const auto config = node.PodConfig("lives");
  const std::string pod = node.RunPod(config);
  const std::string ticks = node.Run(
      pod, config,
      node.ContainerConfig(
          "ticks", {"sh", "-c", "i=0; while :; do echo tick $i; i=$((i+1)); sleep 0.02; done"}));
  const std::string leaves =
      node.Run(pod, config, node.ContainerConfig("leaves", {"sh", "-c", "sleep 0.5; exit 9"}));
  const auto before = node.Status(ticks);
  const auto pod_before = node.PodStatus(pod);
  daemon.Kill();
  const size_t logged = node.Log("lives", "ticks").size();
  EXPECT_TRUE(Eventually([&] { return node.Log("lives", "ticks").size() > logged; }))
      << "the log stands still without the daemon";
  const std::string record = absl::StrCat(daemon.scratch(), "/state/pods/", pod, "/exits/", leaves);
  EXPECT_TRUE(Eventually([&] { return access(record.c_str(), F_OK) == 0; }));
  daemon.Start();
  const auto after = node.Status(ticks);
  EXPECT_EQ(after.state(), cri::CONTAINER_RUNNING);
  EXPECT_EQ(after.SerializeAsString(), before.SerializeAsString());
  EXPECT_EQ(node.PodStatus(pod).SerializeAsString(), pod_before.SerializeAsString());
  const auto left = node.Status(leaves);
  EXPECT_EQ(left.state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(left.exit_code(), 9);
  EXPECT_EQ(node.Shell(ticks, "echo still here"), "still here");
  node.Stop(ticks, 1);
  node.RemoveAll();
}

// The links of a daemon's bridge: one for each pod and for each spare that is attached already.
bool AwaitLinks(const Daemon& daemon, size_t count) {
  std::vector<std::string> links;
  const bool come = Eventually([&] {
    links = ListDir(absl::StrCat("/sys/class/net/", daemon.bridge(), "/brif"))
                .value_or(std::vector<std::string>());
    return links.size() == count;
  });
  EXPECT_TRUE(come) << links.size() << " links, not " << count;
  return come;
}

TEST(Restart, NetworksOfSparesEndWithTheirDaemon) {
  constexpr size_t kSpares = 4;  // the default
  Daemon daemon;
  daemon.Start();
  Node node(daemon, daemon.ImportImage());
  std::set<std::string> addresses;
  const auto run = [&](const std::string& name) {
    const auto config = node.PodConfig(name);
    const std::string pod = node.RunPod(config);
    const std::string address = node.PodStatus(pod).network().ip();
    EXPECT_TRUE(addresses.insert(address).second) << address;
    const std::string id = node.Run(pod, config, node.ContainerConfig("c", {"sleep", "1000"}));
    EXPECT_THAT(node.Shell(id, "ip -o addr show eth0"), HasSubstr(absl::StrCat(" ", address, "/")));
  };
  run("first");
  AwaitLinks(daemon, 1 + kSpares);
  run("second");
  AwaitLinks(daemon, 2 + kSpares);
  daemon.Kill();
  AwaitLinks(daemon, 2);
  daemon.Start();
  AwaitLinks(daemon, 2 + kSpares);
  run("third");
  for (int i = 0; i < 8; ++i) run(absl::StrCat("burst-", i));
  AwaitLinks(daemon, 11 + kSpares);
  node.RemoveAll();
  AwaitLinks(daemon, kSpares);
  daemon.Terminate();
  AwaitLinks(daemon, 0);
}

TEST(Restart, TerminatedDaemonLeavesPodsRunning) {
  Daemon daemon;
  daemon.Start();
  Node node(daemon, daemon.ImportImage());
  const auto config = node.PodConfig("calm");
  const std::string pod = node.RunPod(config);
  const std::string id = node.Run(pod, config, node.ContainerConfig("c", {"sleep", "1000"}));
  daemon.Terminate();
  daemon.Start();
  EXPECT_EQ(node.Status(id).state(), cri::CONTAINER_RUNNING);
  node.RemoveAll();
}

TEST(Restart, HundredPodsAreFoundWithinASecond) {
  Daemon daemon;
  daemon.Start();
  Node node(daemon, daemon.ImportImage());
  for (int i = 0; i < 100; ++i) {
    const auto config = node.PodConfig(absl::StrCat("many-", i));
    node.Run(node.RunPod(config), config, node.ContainerConfig("c", {"sleep", "1000"}));
  }
  daemon.Kill();
  const absl::Time start = absl::Now();
  daemon.Start();
  EXPECT_EQ(node.Containers().size(), 100u);
  const absl::Duration taken = absl::Now() - start;
  for (const auto& container : node.Containers())
    EXPECT_EQ(container.state(), cri::CONTAINER_RUNNING);
  std::cout << "first correct list after " << taken << "\n";
  EXPECT_LT(taken, Patience(absl::Seconds(1)));
  node.RemoveAll();
}

// Kills the daemon at a random moment of one RPC, restarts it, repeats the RPC as a kubelet would,
// and expects it to end well. The steps run in the order of a life.
TEST(Restart, KilledInTheMiddleOfEachStep) {
  std::mt19937 random(getpid());
  Daemon daemon;
  daemon.Start();
  Node node(daemon, daemon.ImportImage());
  const auto interrupt = [&](const std::function<void()>& rpc, int longest_us) {
    std::thread caller(rpc);
    absl::SleepFor(absl::Microseconds(random() % longest_us));
    daemon.Kill();
    caller.join();
    daemon.Start();
  };
  for (int round = 0; round < 12; ++round) {
    SCOPED_TRACE(absl::StrCat("round ", round));
    const auto config = node.PodConfig(absl::StrCat("killed-", round));
    const auto container_config = node.ContainerConfig("c", {"sleep", "1000"});
    interrupt([&] { node.TryRunPod(config, nullptr, absl::Seconds(5)); }, 6000);
    const std::string pod = node.RunPod(config);
    EXPECT_EQ(node.PodStatus(pod).state(), cri::SANDBOX_READY);
    EXPECT_EQ(node.Pods().size(), 1u);

    interrupt([&] { node.TryCreate(pod, config, container_config, nullptr, absl::Seconds(5)); },
              3000);
    const std::string id = node.Create(pod, config, container_config);
    EXPECT_EQ(node.Containers().size(), 1u);

    interrupt([&] { node.TryStart(id, absl::Seconds(5)); }, 3000);
    if (node.Status(id).state() == cri::CONTAINER_CREATED) node.StartContainer(id);
    EXPECT_EQ(node.Status(id).state(), cri::CONTAINER_RUNNING);
    EXPECT_EQ(node.Shell(id, "echo ok"), "ok");

    interrupt([&] { node.TryStop(id, 0, absl::Seconds(5)); }, 3000);
    node.Stop(id, 0);
    EXPECT_EQ(node.Status(id).state(), cri::CONTAINER_EXITED);
    EXPECT_EQ(node.Status(id).exit_code(), 137);

    interrupt([&] { node.TryRemove(id, absl::Seconds(5)); }, 2000);
    node.Remove(id);
    EXPECT_THAT(node.Containers(), ::testing::IsEmpty());

    interrupt([&] { node.TryStopPod(pod, absl::Seconds(5)); }, 3000);
    node.StopPod(pod);
    interrupt([&] { node.TryRemovePod(pod, absl::Seconds(5)); }, 2000);
    node.RemovePod(pod);
    EXPECT_THAT(node.Pods(), ::testing::IsEmpty());
  }
}

std::string LogOf(const Daemon& daemon) { return ReadFile(daemon.log_path()).value_or(""); }

TEST(Restart, SignalsThatStopNothingAreNoted) {
  Daemon daemon;
  daemon.Start();
  for (const int signal : {SIGUSR2, SIGHUP, SIGUSR1}) ASSERT_EQ(kill(daemon.pid(), signal), 0);
  std::string log;
  const auto told = [&log](const char* text) { return log.find(text) != std::string::npos; };
  (void)Eventually([&] {
    log = LogOf(daemon);
    return told(" state version=") && told("reloaded") && told("signal 2") &&
           told("name=crispd state=");
  });
  EXPECT_THAT(log, ::testing::HasSubstr(" state version="));
  EXPECT_THAT(log, ::testing::HasSubstr("signal.ignored signal=\"User defined signal 2\""));
  EXPECT_THAT(log, ::testing::HasSubstr("reloaded log_level="));
  EXPECT_THAT(log, ::testing::HasSubstr("name=crispd state="));
  grpc::ClientContext context;
  cri::VersionResponse response;
  EXPECT_TRUE(daemon.runtime().Version(&context, {}, &response).ok()) << "it goes on";
}

TEST(Restart, AKilledShimMakesThePodNotReadyAndCanBeRemoved) {
  Daemon daemon;
  daemon.Start();
  Node node(daemon, daemon.ImportImage());
  const auto config = node.PodConfig("shimless");
  const std::string pod = node.RunPod(config);
  const std::string id = node.Run(pod, config, node.ContainerConfig("c", {"sleep", "1000"}));
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod);
  request.set_verbose(true);
  cri::PodSandboxStatusResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(daemon.runtime().PodSandboxStatus(&context, request, &response).ok());
  const Json info = Json::parse(response.info().at("info"));
  const pid_t shim = info.at("pid").get<pid_t>();
  ASSERT_GT(shim, 1) << info;
  ASSERT_EQ(kill(shim, SIGKILL), 0);
  EXPECT_EQ(node.Await(id, cri::CONTAINER_EXITED).state(), cri::CONTAINER_EXITED);
  EXPECT_TRUE(Eventually([&] { return node.PodStatus(pod).state() == cri::SANDBOX_NOTREADY; }));
  node.RemoveAll();
}

}  // namespace
}  // namespace crisp::e2e
