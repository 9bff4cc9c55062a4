// Namespaces that the built-in network attaches before there is a pod for them. Needs root.

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "absl/strings/match.h"
#include "base/testing/eventually.h"
#include "network/bridge/pod_record.h"
#include "network/bridge/testing/bridge_test.h"

namespace crisp::network {
namespace {

using ::testing::HasSubstr;

class PreparedTest : public BridgeNetworkTest {
 protected:
  // The first pod, without which nothing is prepared.
  void SetUp() override {
    BridgeNetworkTest::SetUp();
    ASSERT_OK(Attach(first_.Request()));
  }
  absl::Status Prepare(const Pod& spare) {
    return network_->Prepare("spare-of-" + spare.id, spare.ns->netns_fd(), spare.ns->rtnl_fd());
  }
  static AttachRequest Taking(const Pod& spare) {
    AttachRequest request = spare.Request();
    request.prepared = "spare-of-" + spare.id;
    return request;
  }
  static bool HasEth0(const Pod& pod) { return GetLink(pod.ns->rtnl_fd(), "eth0").ok(); }
  static std::string Inside(const Pod& pod, const std::string& command) {
    std::string output;
    pod.ns->Run([&] { output = Shell(command); });
    return output;
  }
  // Each holds its addresses.
  size_t Records() { return PodRecordStore::Open(options_.state).value()->Load()->size(); }
  Pod first_{"first"};
};

TEST_F(PreparedTest, BecomesThePods) {
  Pod a("a");
  ASSERT_OK(Prepare(a));
  EXPECT_EQ(Veths(), 2u);
  // It is nobody's yet.
  EXPECT_THAT(network_->Find("spare-of-a"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(network_->Counters()->size(), 1u);
  const std::string before = Inside(a, "ip -o link show eth0");
  ASSERT_OK_AND_ASSIGN(const Attachment attachment, Attach(Taking(a)));
  EXPECT_EQ(attachment.addresses, (std::vector<std::string>{"10.99.0.3", "fd00:99::3"}));
  EXPECT_EQ(attachment.mac, "0a:58:0a:63:00:03");
  EXPECT_EQ(Veths(), 2u);
  EXPECT_EQ(Inside(a, "ip -o link show eth0"), before);
  TestServer server(*a.ns, Protocol::kTcp, 80, "a");
  EXPECT_EQ(AskFrom(*first_.ns, Protocol::kTcp, "10.99.0.3", 80), "a 10.99.0.2");
  EXPECT_EQ(AskFrom(*first_.ns, Protocol::kTcp, "fd00:99::3", 80), "a fd00:99::2");
  EXPECT_EQ(Attach(Taking(a)).value().addresses, attachment.addresses);  // a repeated call
  EXPECT_EQ(network_->Counters()->count("a"), 1u);
  EXPECT_THAT(network_->Find("spare-of-a"), StatusIs(absl::StatusCode::kNotFound));
  Restart();
  ASSERT_OK(network_->Reconcile({"first", "a"}));
  EXPECT_EQ(network_->Find("a").value().addresses, attachment.addresses);
  ASSERT_OK(network_->Detach("a", a.ns->netns_fd(), Operation()));
  EXPECT_THAT(network_->Find("a"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(PreparedTest, APodTakesItsHostPorts) {
  Pod a("a"), b("b");
  ASSERT_OK(Prepare(a));
  ASSERT_OK(Prepare(b));
  AttachRequest request = Taking(a);
  request.ports = {{.container_port = 80, .host_port = 8080},
                   {.protocol = Protocol::kUdp, .container_port = 53, .host_port = 8053}};
  ASSERT_OK(Attach(request));
  TestServer tcp(*a.ns, Protocol::kTcp, 80, "a");
  TestServer udp(*a.ns, Protocol::kUdp, 53, "dns");
  EXPECT_EQ(Ask(Protocol::kTcp, "127.0.0.1", 8080), "a 10.99.0.1");
  EXPECT_EQ(Ask(Protocol::kUdp, "127.0.0.1", 8053), "dns 10.99.0.1");
  EXPECT_THAT(AskFrom(*first_.ns, Protocol::kTcp, "10.99.0.1", 8080), HasSubstr("a 10.99.0."));
  // From the pod itself, which the bridge must send its own packet back to.
  EXPECT_THAT(AskFrom(*a.ns, Protocol::kTcp, "10.99.0.1", 8080), HasSubstr("a 10.99.0."));
  request = Taking(b);
  request.ports = {{.container_port = 80, .host_port = 8080}};
  EXPECT_THAT(Attach(request),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("default/a (a)")));
  ASSERT_OK(network_->Detach("a", -1, Operation()));
  EXPECT_EQ(Elements(), 0u);
  EXPECT_OK(Attach(request));  // the refusal has left b's as it was
  EXPECT_EQ(Elements(), 2u);
  EXPECT_EQ(Veths(), 3u);
}

TEST_F(PreparedTest, APodSetsItsSysctls) {
  Pod a("a");
  ASSERT_OK(Prepare(a));
  AttachRequest request = Taking(a);
  request.sysctls = {{"net.ipv6.conf.all.disable_ipv6", "1"},
                     {"net.ipv4.conf.eth0.rp_filter", "2"}};
  ASSERT_OK_AND_ASSIGN(const Attachment attachment, Attach(request));
  EXPECT_EQ(attachment.addresses.front(), "10.99.0.3");  // the prepared one
  EXPECT_EQ(
      Inside(
          a,
          "cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6 /proc/sys/net/ipv4/conf/eth0/rp_filter"),
      "1\n2\n");
}

TEST_F(PreparedTest, ALimitedPodIsAttachedAnew) {
  Pod a("a");
  ASSERT_OK(Prepare(a));
  AttachRequest request = Taking(a);
  request.annotations = {{"kubernetes.io/egress-bandwidth", "8M"}};
  ASSERT_OK_AND_ASSIGN(const Attachment attachment, Attach(request));
  EXPECT_EQ(attachment.addresses.front(), "10.99.0.4");
  EXPECT_THAT(Shell("tc qdisc"), HasSubstr("rate 8Mbit"));
  EXPECT_EQ(Veths(), 2u);
}

TEST_F(PreparedTest, WaitsForTheFirstPod) {
  Restart();  // not even the bridge is known to be there
  Pod a("a");
  EXPECT_THAT(Prepare(a), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_FALSE(HasEth0(a));
  ASSERT_OK(network_->Reconcile({"first"}));
  EXPECT_OK(Prepare(a));
}

TEST_F(PreparedTest, FailedPreparingLeavesNothing) {
  Pod a("a");
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  EXPECT_FALSE(network_->Prepare("spare-of-a", a.ns->netns_fd(), null).ok());
  close(null);
  EXPECT_EQ(Veths(), 1u);
  ASSERT_OK(Attach(Taking(a)));  // made as it always was
  EXPECT_EQ(Veths(), 2u);
}

TEST_F(PreparedTest, EndsWithItsNamespace) {
  Pod a("a"), b("b");
  ASSERT_OK(Prepare(a));
  EXPECT_EQ(Records(), 2u);
  a.Close();
  EXPECT_TRUE(Eventually([&] { return Veths() == 1 && Records() == 1; }));
  AttachRequest request = b.Request();
  request.prepared = "spare-of-a";
  ASSERT_OK(Attach(request));
  EXPECT_EQ(Veths(), 2u);
}

TEST_F(PreparedTest, EndsWithItsDaemon) {
  Pod a("a"), b("b"), other("other");
  ASSERT_OK(Prepare(a));
  ASSERT_OK(Prepare(b));
  // A new life that finds the namespaces still there, as after a SIGKILL.
  Restart();
  EXPECT_OK(network_->Reconcile({"first"}));
  EXPECT_EQ(Attach(other.Request()).value().addresses.front(), "10.99.0.5");
  a.Close();
  b.Close();
  EXPECT_TRUE(Eventually([&] { return Veths() == 2 && Records() == 2; }));
}

TEST_F(PreparedTest, GivesItsAddressToAPod) {
  options_.subnets = {"10.99.1.0/27"};
  Restart();
  std::vector<std::unique_ptr<Pod>> pods;
  const auto attach_one = [&] {
    pods.push_back(std::make_unique<Pod>(absl::StrCat("p", pods.size())));
    return Attach(pods.back()->Request()).status();
  };
  ASSERT_OK(attach_one());
  Pod a("a"), b("b"), late("late");
  ASSERT_OK(Prepare(a));
  ASSERT_OK(Prepare(b));
  for (int i = 0; i < 11; ++i) ASSERT_OK(attach_one());
  EXPECT_THAT(Prepare(late), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("15")));
  for (int i = 0; i < 17; ++i) ASSERT_OK(attach_one()) << i;
  EXPECT_THAT(attach_one(), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(Veths(), 30u);
  EXPECT_FALSE(HasEth0(a));
  // A pod that was to take one is attached as any other.
  ASSERT_OK(network_->Detach("p3", -1, Operation()));
  pods[3]->Close();
  EXPECT_TRUE(Eventually([&] { return Attach(Taking(a)).ok(); }));
}

TEST_F(PreparedTest, IsUndoneForAnotherPodCidr) {
  Pod a("a");
  ASSERT_OK(Prepare(a));
  ASSERT_OK(network_->SetPodCidr("10.98.0.0/24"));
  EXPECT_EQ(Veths(), 1u);
  ASSERT_OK_AND_ASSIGN(const Attachment attachment, Attach(Taking(a)));
  EXPECT_EQ(attachment.addresses, (std::vector<std::string>{"10.98.0.2"}));
}

TEST_F(PreparedTest, IsUndoneForACniNetwork) {
  Pod a("a"), b("b");
  options_.cni_conf_dir = dir_.path() + "/cni";
  options_.cni_bin_dirs = {dir_.path() + "/bin"};
  Restart();
  ASSERT_OK(network_->Reconcile({"first"}));
  ASSERT_OK(Prepare(a));
  ASSERT_TRUE(HasEth0(a));
  ASSERT_OK(MakeDirs(options_.cni_conf_dir));
  ASSERT_OK(MakeDirs(options_.cni_bin_dirs[0]));
  ASSERT_OK(
      AtomicWriteFile(options_.cni_bin_dirs[0] + "/fake",
                      "#!/bin/sh\ncat >/dev/null\n[ $CNI_COMMAND = ADD ] && "
                      R"(echo '{"cniVersion":"1.0.0","ips":[{"address":"10.7.0.9/24"}]}'; exit 0)",
                      0755, Durability::kNone));
  ASSERT_OK(AtomicWriteFile(options_.cni_conf_dir + "/1.conflist",
                            R"({"name":"n","cniVersion":"1.0.0","plugins":[{"type":"fake"}]})",
                            0644, Durability::kNone));
  EXPECT_TRUE(Eventually([&] { return absl::IsFailedPrecondition(Prepare(b)); }));
  EXPECT_EQ(Attach(Taking(a)).value().addresses.front(), "10.7.0.9");
  EXPECT_FALSE(HasEth0(a));
}

TEST_F(PreparedTest, ComesBackIntoANewBridge) {
  Pod a("a"), b("b");
  ASSERT_OK(Prepare(a));
  (void)Shell("nft flush ruleset; ip link del crtest0");
  ASSERT_OK(Attach(b.Request()));
  ASSERT_OK(Attach(Taking(a)));
  TestServer server(*a.ns, Protocol::kTcp, 80, "a");
  EXPECT_EQ(Ask(Protocol::kTcp, "10.99.0.3", 80), "a 10.99.0.1");
}

TEST_F(PreparedTest, ResetRemovesIt) {
  Pod a("a");
  ASSERT_OK(Prepare(a));
  ASSERT_OK(network_->Reset());
  EXPECT_EQ(Veths(), 0u);
}

// Only what an earlier daemon has left is the live pods' measure.
TEST_F(PreparedTest, ReconcilingSparesThisLifesPods) {
  Restart();
  Pod a("a"), b("b");
  ASSERT_OK(Attach(a.Request()));
  ASSERT_OK(Prepare(b));
  ASSERT_OK(network_->Reconcile({}));
  EXPECT_THAT(network_->Find("first"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(network_->Find("a"));
  EXPECT_OK(Attach(Taking(b)));
}

TEST_F(PreparedTest, ManyAtOnce) {
  constexpr int kThreads = 4, kRounds = 20;
  std::atomic<int> taken = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        Pod pod(absl::StrCat("t", t, "-", i));
        if (i % 2 == 0) {
          EXPECT_OK(Prepare(pod));
        }
        AttachRequest request = Taking(pod);
        if (i % 3 == 0) {
          request.ports = {{.container_port = 80, .host_port = static_cast<uint16_t>(8000 + t)}};
        }
        EXPECT_OK(Attach(request));
        ++taken;
        EXPECT_OK(network_->Detach(pod.id, pod.ns->netns_fd(), Operation()));
        Pod dying("dying" + pod.id);
        if (i % 4 == 0) {
          EXPECT_OK(Prepare(dying));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, kThreads * kRounds);
  EXPECT_TRUE(Eventually([&] { return Veths() == 1 && Records() == 1; }));
  EXPECT_EQ(Elements(), 0u);
}

}  // namespace
}  // namespace crisp::network
