// CNI in namespaces of the test's own: Debian's plugins, and scripts that misbehave. Needs root.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/database.h"
#include "base/file.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "network/link/links.h"
#include "network/link/netlink.h"
#include "network/link/testing/test_netns.h"
#include "network/pod/pod_network.h"

namespace crisp::network {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class OwnNamespace : public ::testing::Environment {
 public:
  void SetUp() override { ASSERT_TRUE(EnterFreshHostNamespace()) << "root is needed"; }
};
const auto* const kEnvironment = ::testing::AddGlobalTestEnvironment(new OwnNamespace);

// Writes what it was called with to $DIR/log and answers as the files in $DIR say.
constexpr char kFakePlugin[] = R"sh(#!/bin/sh
DIR=$(dirname "$0")
cat > "$DIR/stdin.$CNI_COMMAND"
echo "$CNI_COMMAND $(basename "$0") netns=${CNI_NETNS:+set} $CNI_ARGS" >> "$DIR/log"
[ -e "$DIR/slow.$CNI_COMMAND" ] && sleep 30
[ -e "$DIR/crash.$CNI_COMMAND" ] && kill -SEGV $$
[ -e "$DIR/fail.$CNI_COMMAND.$(basename "$0")" ] && { echo '{"code":11,"msg":"not today"}'; exit 1; }
[ -e "$DIR/garbage.$CNI_COMMAND" ] && { echo 'Panic! {'; exit 0; }
[ "$CNI_COMMAND" = ADD ] && echo '{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"x"}],"ips":[{"address":"10.7.0.9/24","interface":0}]}'
exit 0
)sh";

class CniNetworkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    conf_ = dir_.path() + "/net.d";
    bin_ = dir_.path() + "/bin";
    ASSERT_OK(MakeDirs(conf_));
    ASSERT_OK(MakeDirs(bin_));
    options_ = {.root = dir_.path() + "/root",
                .state = dir_.path() + "/state",
                .cni_conf_dir = conf_,
                .cni_bin_dirs = {bin_, "/usr/lib/cni"},
                .bridge_name = "crcni0"};
    for (const char* name : {"first", "second"}) {
      ASSERT_OK(
          AtomicWriteFile(absl::StrCat(bin_, "/", name), kFakePlugin, 0755, Durability::kNone));
    }
    Restart();
  }

  void Restart() {
    network_.reset();
    network_ = PodNetwork::Create(options_).value();
  }
  void Configure(const std::string& text) {
    ASSERT_OK(AtomicWriteFile(conf_ + "/10-net.conflist", text, 0644, Durability::kNone));
  }
  void UseFakes(const char* version = "1.0.0") {
    Configure(absl::StrCat(R"({"name":"fake","cniVersion":")", version,
                           R"(","plugins":[{"type":"first"},{"type":"second","capabilities":
                           {"portMappings":true,"dns":true,"cgroupPath":true}}]})"));
  }
  void Set(const std::string& fault) {
    ASSERT_OK(AtomicWriteFile(bin_ + "/" + fault, "", 0644, Durability::kNone));
  }
  void Unset(const std::string& fault) { (void)unlink((bin_ + "/" + fault).c_str()); }
  std::vector<std::string> Log() {
    auto log = ReadFile(bin_ + "/log");
    std::vector<std::string> lines;
    if (log.ok()) lines = absl::StrSplit(*log, '\n', absl::SkipEmpty());
    return lines;
  }
  size_t Calls(absl::string_view prefix) {
    const auto log = Log();
    return static_cast<size_t>(std::count_if(log.begin(), log.end(), [&](const std::string& line) {
      return absl::StartsWith(line, prefix);
    }));
  }
  AttachRequest Request(const std::string& id, const TestNamespace& ns) {
    return {.pod_id = id,
            .pod_name = "name-" + id,
            .pod_namespace = "default",
            .pod_uid = "uid-" + id,
            .netns_fd = ns.netns_fd(),
            .rtnl_fd = ns.rtnl_fd()};
  }

  TempDir dir_;
  std::string conf_, bin_;
  NetworkOptions options_;
  std::unique_ptr<PodNetwork> network_;
};

TEST_F(CniNetworkTest, CallsTheChainForwardsAndBackwards) {
  UseFakes();
  TestNamespace ns;
  AttachRequest request = Request("a", ns);
  request.ports = {{.container_port = 80, .host_port = 8080, .host_ip = "127.0.0.1"}};
  request.cgroup_parent = "/kubepods/x";
  ASSERT_OK_AND_ASSIGN(const Attachment attachment, network_->Attach(request, Operation()));
  EXPECT_THAT(attachment.addresses, ElementsAre("10.7.0.9"));
  EXPECT_THAT(Log()[0],
              "ADD first netns=set IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=name-a;"
              "K8S_POD_INFRA_CONTAINER_ID=a;K8S_POD_UID=uid-a");
  const std::string input = ReadFile(bin_ + "/stdin.ADD").value();
  EXPECT_THAT(input, HasSubstr(R"("prevResult":{"cniVersion")"));
  EXPECT_THAT(input, HasSubstr(R"("hostIP":"127.0.0.1")"));
  EXPECT_THAT(input, HasSubstr(R"("cgroupPath":"/kubepods/x")"));
  EXPECT_OK(network_->Attach(request, Operation()));  // no second ADD
  EXPECT_EQ(Calls("ADD"), 2u);
  ASSERT_OK(network_->Detach("a", ns.netns_fd(), Operation()));
  ASSERT_EQ(Log().size(), 4u);
  EXPECT_TRUE(absl::StartsWith(Log()[2], "DEL second netns=set"));
  EXPECT_TRUE(absl::StartsWith(Log()[3], "DEL first netns=set"));
  EXPECT_THAT(ReadFile(bin_ + "/stdin.DEL").value(), HasSubstr("prevResult"));
  EXPECT_OK(network_->Detach("a", -1, Operation()));
  EXPECT_EQ(Log().size(), 4u);
}

TEST_F(CniNetworkTest, LoopbackIsUpForCniPodsToo) {
  UseFakes();
  TestNamespace ns;
  ASSERT_OK(network_->Attach(Request("a", ns), Operation()));
  EXPECT_TRUE(GetLink(ns.rtnl_fd(), "lo")->up);
}

TEST_F(CniNetworkTest, ResetDetachesEveryPod) {
  UseFakes();
  TestNamespace ns;
  ASSERT_OK(network_->Attach(Request("a", ns), Operation()));
  ASSERT_OK(network_->Reset());
  EXPECT_EQ(Calls("DEL"), 2u);
  EXPECT_THAT(network_->Find("a"), StatusIs(absl::StatusCode::kNotFound));
}

// A node is torn down when its plugins are gone, or hang.
TEST_F(CniNetworkTest, ARemovalTriesOnceAndSaysWhatItLeaves) {
  UseFakes();
  TestNamespace a, b, c;
  ASSERT_OK(network_->Attach(Request("a", a), Operation()));
  ASSERT_OK(network_->Attach(Request("b", b), Operation()));
  ASSERT_OK(network_->Attach(Request("c", c), Operation()));
  Set("fail.DEL.second");
  network_->BeginRemoval();
  ASSERT_OK(network_->Detach("a", a.netns_fd(), Operation()));
  EXPECT_EQ(Calls("DEL second"), 1u);
  EXPECT_THAT(network_->LeftBehind(),
              ElementsAre(AllOf(HasSubstr("default/name-a (a)"), HasSubstr("not today"))));
  Unset("fail.DEL.second");
  ASSERT_OK(network_->Detach("b", b.netns_fd(), Operation()));
  for (const char* name : {"first", "second"}) (void)unlink((bin_ + "/" + name).c_str());
  ASSERT_OK(network_->Reset());
  EXPECT_THAT(network_->LeftBehind(), ElementsAre(HasSubstr("(a)"), HasSubstr("(c)")));
  Restart();
  EXPECT_THAT(network_->Find("c"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(CniNetworkTest, ARemovalEndsWhilePluginsHang) {
  UseFakes();
  std::vector<std::unique_ptr<TestNamespace>> pods;
  for (const char* id : {"a", "b", "c", "d", "e", "f"}) {
    pods.push_back(std::make_unique<TestNamespace>());
    ASSERT_OK(network_->Attach(Request(id, *pods.back()), Operation()));
  }
  Set("slow.DEL");
  network_->BeginRemoval();
  const absl::Time begin = absl::Now();
  ASSERT_OK(network_->Reset());
  EXPECT_LT(absl::Now() - begin, absl::Seconds(40));
  EXPECT_EQ(network_->LeftBehind().size(), 6u);
}

// The built-in network serves when it is told to, or not.
TEST_F(CniNetworkTest, WhoServesIsADecision) {
  TestNamespace a, b;
  options_.subnets = {"10.99.5.0/24"};
  options_.serves = NetworkOptions::Builtin::kNever;
  Restart();
  EXPECT_FALSE(network_->Condition().ready);
  EXPECT_THAT(network_->Attach(Request("a", a), Operation()),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(network_->Prepare("spare", b.netns_fd(), b.rtnl_fd()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  UseFakes();
  EXPECT_TRUE(network_->Condition().ready);
  EXPECT_OK(network_->Attach(Request("a", a), Operation()));
  options_.serves = NetworkOptions::Builtin::kAlways;
  Restart();
  EXPECT_TRUE(network_->Condition().ready);
  EXPECT_EQ(network_->Attach(Request("b", b), Operation()).value().addresses.front(), "10.99.5.2");
  EXPECT_EQ(network_->Find("a").value().addresses.front(), "10.7.0.9");
  ASSERT_OK(network_->Reset());
}

TEST_F(CniNetworkTest, FailedAddIsUndoneAndToldInThePluginsWords) {
  UseFakes();
  Set("fail.ADD.second");
  TestNamespace ns;
  EXPECT_THAT(
      network_->Attach(Request("a", ns), Operation()),
      StatusIs(absl::StatusCode::kUnavailable, HasSubstr("second (ADD) failed with 1: not today")));
  EXPECT_EQ(Calls("DEL first"), 1u);
  EXPECT_THAT(network_->Find("a"), StatusIs(absl::StatusCode::kNotFound));
  for (const char* fault : {"garbage.ADD", "crash.ADD"}) {
    Unset("fail.ADD.second");
    Set(fault);
    EXPECT_THAT(network_->Attach(Request("a", ns), Operation()),
                StatusIs(absl::StatusCode::kUnavailable, HasSubstr("first (ADD)")));
    Unset(fault);
  }
  EXPECT_OK(network_->Attach(Request("a", ns), Operation()));
}

TEST_F(CniNetworkTest, SlowPluginEndsAtTheDeadlineAndIsUndoneLater) {
  UseFakes();
  Set("slow.ADD");
  TestNamespace ns;
  const absl::Time start = absl::Now();
  EXPECT_THAT(network_->Attach(Request("a", ns), Operation(start + absl::Milliseconds(300))),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_LT(absl::Now() - start, absl::Seconds(3));
  EXPECT_TRUE(Eventually([&] { return Calls("DEL first") == 1; }));
}

TEST_F(CniNetworkTest, DelIsRetriedWithTheSameBytesUntilItSucceeds) {
  UseFakes();
  TestNamespace ns;
  ASSERT_OK(network_->Attach(Request("a", ns), Operation()));
  Set("fail.DEL.first");
  EXPECT_THAT(network_->Detach("a", ns.netns_fd(), Operation()),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("not today")));
  Configure(R"({"name":"other","cniVersion":"1.0.0","plugins":[{"type":"absent"}]})");
  EXPECT_FALSE(network_->Condition().ready);
  network_.reset();
  const size_t calls = Calls("DEL first");
  Unset("fail.DEL.first");
  Restart();  // the duty outlives the daemon, and nobody has to ask for it
  EXPECT_TRUE(Eventually([&] { return Calls("DEL first") == calls + 1; }));
  EXPECT_THAT(ReadFile(bin_ + "/stdin.DEL").value(), HasSubstr(R"("name":"fake")"));
  EXPECT_OK(network_->Detach("a", -1, Operation()));
  Restart();
  EXPECT_TRUE(Stays([&] { return Calls("DEL first") == calls + 1; }));
}

TEST_F(CniNetworkTest, RestartFindsAndReconcileEndsTheRest) {
  UseFakes();
  TestNamespace a, b;
  ASSERT_OK(network_->Attach(Request("a", a), Operation()));
  ASSERT_OK(network_->Attach(Request("b", b), Operation()));
  Restart();
  EXPECT_THAT(network_->Find("a")->addresses, ElementsAre("10.7.0.9"));
  ASSERT_OK(network_->Reconcile({"a"}));
  EXPECT_TRUE(Eventually([&] { return Calls("DEL first") == 1; }));
  EXPECT_THAT(network_->Find("b"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(network_->Find("a"));
}

TEST_F(CniNetworkTest, ReconcileLeavesAPodAloneThatCameAfterTheStart) {
  UseFakes();
  TestNamespace a, b, c;
  ASSERT_OK(network_->Attach(Request("a", a), Operation()));
  ASSERT_OK(network_->Attach(Request("gone", b), Operation()));
  Restart();
  ASSERT_OK(network_->Attach(Request("new", c), Operation()));
  ASSERT_OK(network_->Reconcile({"a"}));
  EXPECT_TRUE(Eventually([&] { return Calls("DEL first") == 1; }));
  EXPECT_THAT(network_->Find("gone"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(network_->Find("a"));
  EXPECT_OK(network_->Find("new"));
}

TEST_F(CniNetworkTest, AfterARebootDelGetsAnEmptyNamespace) {
  UseFakes();
  TestNamespace ns;
  ASSERT_OK(network_->Attach(Request("a", ns), Operation()));
  network_.reset();
  {
    auto database = Database::Open(options_.root + "/cni.db", Database::Sync::kOff, "").value();
    ASSERT_OK(database->Execute(
        "UPDATE attachments SET detail = json_set(detail, '$.boot_id', 'an-earlier-one')"));
  }
  Restart();
  ASSERT_OK(network_->Reconcile({"a"}));  // nothing outlives a reboot
  EXPECT_TRUE(Eventually([&] { return Calls("DEL first netns= ") == 1; }));
}

TEST_F(CniNetworkTest, StatusAndGcAreAskedInTheBackground) {
  EXPECT_TRUE(network_->Condition().ready);  // no configuration: the built-in network
  Set("fail.STATUS.second");
  UseFakes("1.1.0");
  EXPECT_FALSE(network_->Condition().ready);
  EXPECT_TRUE(
      Eventually([&] { return absl::StrContains(network_->Condition().message, "not today"); }));
  EXPECT_EQ(network_->Condition().reason, "NetworkPluginNotReady");
  Unset("fail.STATUS.second");
  UseFakes("1.1.0 ");  // not a version
  EXPECT_THAT(network_->Condition().message, HasSubstr("10-net.conflist"));
  TestNamespace ns;
  EXPECT_THAT(network_->Attach(Request("a", ns), Operation()),
              StatusIs(absl::StatusCode::kUnavailable));
  Configure(R"({"name":"other","cniVersion":"1.1.0","plugins":[{"type":"first"}]})");
  EXPECT_TRUE(Eventually([&] { return network_->Condition().ready; }));
  ASSERT_OK(network_->Attach(Request("a", ns), Operation()));
  ASSERT_OK(network_->Reconcile({"a"}));
  EXPECT_TRUE(Eventually([&] { return Calls("GC first") == 1; }));
  EXPECT_THAT(ReadFile(bin_ + "/stdin.GC").value(),
              HasSubstr(R"({"containerID":"a","ifname":"eth0"})"));
}

TEST_F(CniNetworkTest, APodKeepsItsNetworkWhenTheConfigurationComesAndGoes) {
  TestNamespace a, b;
  ASSERT_OK(network_->Attach(Request("builtin", a), Operation()));
  UseFakes();
  ASSERT_OK(network_->Attach(Request("cni", b), Operation()));
  EXPECT_EQ(Calls("ADD"), 2u);
  (void)unlink((conf_ + "/10-net.conflist").c_str());
  EXPECT_THAT(network_->Attach(Request("cni", b), Operation())->addresses, ElementsAre("10.7.0.9"));
  ASSERT_OK(network_->Detach("cni", b.netns_fd(), Operation()));
  EXPECT_EQ(Calls("DEL"), 2u);
  ASSERT_OK(network_->Detach("builtin", a.netns_fd(), Operation()));
  ASSERT_OK(network_->Reset());
}

TEST_F(CniNetworkTest, DebiansPluginsMakeAWorkingPod) {
  if (access("/usr/lib/cni/bridge", X_OK) != 0)
    GTEST_SKIP() << "containernetworking-plugins is absent";
  Configure(absl::StrCat(R"({"name":"real","cniVersion":"1.0.0","plugins":[
    {"type":"bridge","bridge":"crcnibr0","isGateway":true,"ipMasq":false,"ipam":{"type":"host-local",
     "dataDir":")",
                         dir_.path(), R"(/ipam","ranges":[[{"subnet":"10.96.5.0/24"}]],
     "routes":[{"dst":"0.0.0.0/0"}]}},
    {"type":"portmap","capabilities":{"portMappings":true},"snat":true},
    {"type":"bandwidth","capabilities":{"bandwidth":true}}]})"));
  ASSERT_TRUE(network_->Condition().ready) << network_->Condition().message;
  std::optional<TestNamespace> ns(std::in_place);
  AttachRequest request = Request("real", *ns);
  request.ports = {{.container_port = 80, .host_port = 8080}};
  request.annotations = {{"kubernetes.io/ingress-bandwidth", "50M"}};
  request.sysctls = {{"net.ipv4.neigh.eth0.base_reachable_time_ms", "5000"}};
  ASSERT_OK_AND_ASSIGN(const Attachment attachment, network_->Attach(request, Operation()));
  ns->Run([] {
    EXPECT_EQ(Shell("cat /proc/sys/net/ipv4/neigh/eth0/base_reachable_time_ms"), "5000\n");
  });
  EXPECT_THAT(attachment.addresses, ElementsAre("10.96.5.2"));
  EXPECT_FALSE(attachment.mac.empty());
  {
    TestServer server(*ns, Protocol::kTcp, 80, "pod");
    EXPECT_THAT(Ask(Protocol::kTcp, "10.96.5.2", 80), HasSubstr("pod "));
    EXPECT_THAT(Ask(Protocol::kTcp, "10.96.5.1", 8080), HasSubstr("pod "));
  }
  EXPECT_THAT(Shell("tc qdisc"), HasSubstr("rate 50Mbit"));
  EXPECT_GT(network_->Counters()->at("real").at(0).tx_bytes, 0u);
  ASSERT_OK(network_->Detach("real", ns->netns_fd(), Operation()));
  EXPECT_EQ(Shell("ls " + dir_.path() + "/ipam/real | grep 10.96"), "");
  EXPECT_THAT(Ask(Protocol::kTcp, "10.96.5.1", 8080), HasSubstr("error"));
}

// Whatever fails when, addresses and records are gone in the end.
TEST_F(CniNetworkTest, FaultsOfEveryVerbLeaveNoAddressBehind) {
  if (access("/usr/lib/cni/host-local", X_OK) != 0) GTEST_SKIP() << "no host-local plugin";
  Configure(absl::StrCat(R"({"name":"faulty","cniVersion":"1.0.0","plugins":[
    {"type":"bridge","bridge":"crcnibr1","ipam":{"type":"host-local","dataDir":")",
                         dir_.path(),
                         R"(/ipam","ranges":[[{"subnet":"10.96.6.0/24"}]]}},{"type":"second"}]})"));
  TestNamespace ns;
  for (const char* fault : {"fail.ADD.second", "garbage.ADD", "crash.ADD", "fail.DEL.second"}) {
    Set(fault);
    const auto attached = network_->Attach(Request("f", ns), Operation());
    const absl::Status detached = network_->Detach("f", ns.netns_fd(), Operation());
    EXPECT_FALSE(attached.ok() && detached.ok()) << fault;
    Unset(fault);
    EXPECT_TRUE(Eventually([&] { return network_->Detach("f", ns.netns_fd(), Operation()).ok(); }));
    EXPECT_EQ(Shell("ls " + dir_.path() + "/ipam/faulty | grep 10.96"), "") << fault;
  }
}

}  // namespace
}  // namespace crisp::network
