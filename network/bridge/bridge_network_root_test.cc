// The built-in network in namespaces of the test's own. Needs root.

#include <fcntl.h>

#include <atomic>
#include <thread>

#include "absl/strings/match.h"
#include "base/testing/eventually.h"
#include "network/bridge/conntrack.h"
#include "network/bridge/host_side.h"
#include "network/bridge/testing/bridge_test.h"

namespace crisp::network {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class OwnNamespace : public ::testing::Environment {
 public:
  void SetUp() override { ASSERT_TRUE(EnterFreshHostNamespace()) << "root is needed"; }
};

// Makes a namespace another machine on the host's network, 192.0.2.2, for as long as this lives.
struct Outside {
  explicit Outside(const TestNamespace& machine) {
    EXPECT_EQ(Shell(absl::StrCat("ip link add up0 type veth peer name far0 netns /proc/", getpid(),
                                 "/fd/", machine.netns_fd(),
                                 " && ip addr add 192.0.2.1/24 dev up0 && ip link set up0 up")),
              "");
    machine.Run([] {
      EXPECT_EQ(Shell("ip addr add 192.0.2.2/24 dev far0; ip link set far0 up; ip link set lo up"),
                "");
    });
  }
  ~Outside() { (void)Shell("ip link del up0"); }
};
const auto* const kEnvironment = ::testing::AddGlobalTestEnvironment(new OwnNamespace);

TEST_F(BridgeNetworkTest, CreateChangesNothing) {
  EXPECT_THAT(GetLink(OpenRtnl()->get(), "crtest0"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_TRUE(network_->Condition().ready);
}

TEST_F(BridgeNetworkTest, PodsTalkToEachOtherAndTheHost) {
  Pod a("a"), b("b");
  ASSERT_OK_AND_ASSIGN(const Attachment at_a, Attach(a.Request()));
  ASSERT_OK_AND_ASSIGN(const Attachment at_b, Attach(b.Request()));
  EXPECT_EQ(at_a.addresses, (std::vector<std::string>{"10.99.0.2", "fd00:99::2"}));
  EXPECT_EQ(at_b.addresses, (std::vector<std::string>{"10.99.0.3", "fd00:99::3"}));
  EXPECT_EQ(at_a.mac, "0a:58:0a:63:00:02");
  TestServer server(*a.ns, Protocol::kTcp, 80, "a");
  EXPECT_EQ(AskFrom(*b.ns, Protocol::kTcp, "10.99.0.2", 80), "a 10.99.0.3");
  EXPECT_EQ(AskFrom(*b.ns, Protocol::kTcp, "fd00:99::2", 80), "a fd00:99::3");
  EXPECT_EQ(Ask(Protocol::kTcp, "10.99.0.2", 80), "a 10.99.0.1");
  EXPECT_EQ(Ask(Protocol::kTcp, "fd00:99::2", 80), "a fd00:99::1");
  EXPECT_EQ(AskFrom(*a.ns, Protocol::kTcp, "127.0.0.1", 80), "a 127.0.0.1");
  std::string inside;
  a.ns->Run([&] { inside = Shell("ip -o link show eth0; ip route; ip -6 route; ip -6 addr"); });
  EXPECT_THAT(inside, HasSubstr("default via 10.99.0.1 dev eth0"));
  EXPECT_THAT(inside, HasSubstr("default via fd00:99::1 dev eth0"));
  EXPECT_THAT(inside, HasSubstr(at_a.mac));
  EXPECT_THAT(inside, Not(HasSubstr("tentative")));
  EXPECT_THAT(Attach(a.Request()).value().addresses, at_a.addresses);  // a repeated call
}

// The kernel takes notice of a link's carrier when nobody holds the lock of all links. Others hold
// it here. What a pod sends before that is lost, and asked for again a second later.
TEST_F(BridgeNetworkTest, APodsLinkCarriesPacketsWhenItIsAttached) {
  std::atomic<bool> ends = false;
  TestNamespace elsewhere;
  std::thread others([&] {
    elsewhere.Run([&] {
      while (!ends) (void)Shell("ip link add one type veth peer name two; ip link del one");
    });
  });
  std::vector<std::unique_ptr<Pod>> pods;
  ASSERT_OK_AND_ASSIGN(const UniqueFd rtnl, OpenRtnl());
  for (int i = 0; i < 20; ++i) {
    pods.push_back(std::make_unique<Pod>(absl::StrCat("p", i)));
    EXPECT_OK(Attach(pods.back()->Request()));
    ASSERT_OK_AND_ASSIGN(const std::vector<Link> links, ListLinks(rtnl.get(), "veth"));
    for (const Link& link : links) EXPECT_TRUE(link.carrier || link.master == 0) << i;
  }
  ends = true;
  others.join();
}

// Has the pod's kernel say what it says of a new interface at once: usually that comes after a
// delay by chance of up to a second, and a second for duplicates of its address.
void AnnounceAtOnce(const Pod& pod) {
  pod.ns->Run([] {
    EXPECT_EQ(Shell("cd /proc/sys/net/ipv6/conf/default && "
                    "{ echo 0 >router_solicitation_delay; echo 0 >dad_transmits; } 2>&1"),
              "");
  });
}

// An announcement of a pod's kernel reaches all the other pods.
TEST_F(BridgeNetworkTest, PodsWithoutIpv6AnnounceNothing) {
  EXPECT_OK(network_->Reset());
  options_.subnets = {"10.99.0.0/24"};
  Restart();
  Pod a("a"), b("b");
  for (const Pod* pod : {&a, &b}) AnnounceAtOnce(*pod);
  ASSERT_OK(Attach(a.Request()));
  ASSERT_OK(Attach(b.Request()));
  std::string inside;
  EXPECT_TRUE(Stays([&] {
    b.ns->Run([&] { inside = Shell("ip -6 addr show dev eth0; cat /proc/net/snmp6"); });
    return !absl::StrContains(inside, "inet6 ") &&
           ::testing::Value(inside, ContainsRegex("Ip6OutMcastPkts[ \t]+0\n"));
  })) << inside;
  EXPECT_THAT(Shell("ip -6 addr show type veth"), Not(HasSubstr("inet6")));
  EXPECT_EQ(ReadFile("/proc/sys/net/ipv6/conf/crtest0/accept_ra").value_or(""), "0\n");
}

TEST_F(BridgeNetworkTest, NoPodBecomesTheRouterOfAnother) {
  Pod a("a"), wants("wants");
  AnnounceAtOnce(a);
  ASSERT_OK(Attach(a.Request()));
  AttachRequest request = wants.Request();
  request.sysctls = {{"net.ipv6.conf.eth0.accept_ra", "2"}};
  ASSERT_OK(Attach(request));
  const auto said = [](Pod& pod) {
    std::string text;
    pod.ns->Run(
        [&] { text = Shell("cat /proc/sys/net/ipv6/conf/eth0/accept_ra /proc/net/snmp6"); });
    return text;
  };
  EXPECT_THAT(said(a), ::testing::StartsWith("0\n"));
  std::string text;
  EXPECT_TRUE(Stays([&] {
    text = said(a);
    return ::testing::Value(text, ContainsRegex("Icmp6OutRouterSolicits[ \t]+0\n"));
  })) << text;
  EXPECT_THAT(said(wants), ::testing::StartsWith("2\n"));
}

TEST_F(BridgeNetworkTest, SysctlsFindTheInterface) {
  const auto value = [](Pod& pod, const std::string& path) {
    std::string text;
    pod.ns->Run([&] { text = ReadFile("/proc/sys/net/" + path).value_or("none"); });
    return text;
  };
  Pod a("a"), b("b");
  AttachRequest request = a.Request();
  request.sysctls = {{"net.ipv6.conf.all.disable_ipv6", "1"},
                     {"net.ipv4.neigh.eth0.base_reachable_time_ms", "5000"},
                     {"net/ipv4/conf/eth0/rp_filter", "2"}};
  ASSERT_OK(Attach(request));
  EXPECT_EQ(value(a, "ipv6/conf/eth0/disable_ipv6"), "1\n");
  EXPECT_EQ(value(a, "ipv4/neigh/eth0/base_reachable_time_ms"), "5000\n");
  EXPECT_EQ(value(a, "ipv4/conf/eth0/rp_filter"), "2\n");
  // Those of the host stay.
  EXPECT_EQ(ReadFile("/proc/sys/net/ipv6/conf/lo/disable_ipv6").value_or(""), "0\n");
  const std::pair<const char*, const char*> bad[] = {{"net.ipv4.conf.eth1.rp_filter", "2"},
                                                     {"net.ipv4.conf.eth0.rp_filter", "x"},
                                                     {"net.ipv4.conf.eth0.rp_filter", "2\n+x"},
                                                     {"net/../kernel/hostname", "x"},
                                                     {"kernel.hostname", "x"}};
  for (const auto& [name, text] : bad) {
    request = b.Request();
    request.sysctls = {{name, text}};
    EXPECT_THAT(Attach(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(name)));
  }
  ASSERT_OK(network_->Detach("b", -1, Operation()));
}

TEST_F(BridgeNetworkTest, HostPortsReachThePod) {
  for (const char* call_iptables : {"0", "1"}) {
    (void)Shell(
        absl::StrCat("echo ", call_iptables, " > /proc/sys/net/bridge/bridge-nf-call-iptables"));
    Pod a("a"), b("b");
    AttachRequest request = a.Request();
    request.ports = {{.container_port = 80, .host_port = 8080},
                     {.protocol = Protocol::kUdp, .container_port = 53, .host_port = 8053},
                     {.container_port = 80, .host_port = 8081, .host_ip = "127.0.0.1"},
                     {.container_port = 80, .host_port = 8082, .host_ip = "10.99.0.1"}};
    ASSERT_OK_AND_ASSIGN(const Attachment at_a, Attach(request));
    ASSERT_OK(Attach(b.Request()));
    TestServer tcp(*a.ns, Protocol::kTcp, 80, "a");
    TestServer udp(*a.ns, Protocol::kUdp, 53, "dns");
    EXPECT_EQ(Ask(Protocol::kTcp, "127.0.0.1", 8080), "a 10.99.0.1");
    EXPECT_EQ(Ask(Protocol::kTcp, "10.99.0.1", 8080), "a 10.99.0.1");
    EXPECT_EQ(Ask(Protocol::kUdp, "127.0.0.1", 8053), "dns 10.99.0.1");
    EXPECT_EQ(Ask(Protocol::kTcp, "127.0.0.1", 8081), "a 10.99.0.1");
    EXPECT_THAT(Ask(Protocol::kTcp, "127.0.0.1", 8082), HasSubstr("Connection refused"));
    EXPECT_EQ(Ask(Protocol::kTcp, "10.99.0.1", 8082), "a 10.99.0.1");
    EXPECT_EQ(Ask(Protocol::kTcp, "fd00:99::1", 8080), "a fd00:99::1");
    // From a neighbour, and from the pod itself, through the host's address.
    EXPECT_THAT(AskFrom(*b.ns, Protocol::kTcp, "10.99.0.1", 8080), HasSubstr("a 10.99.0."));
    EXPECT_THAT(AskFrom(*a.ns, Protocol::kTcp, "10.99.0.1", 8080), HasSubstr("a 10.99.0."));
    EXPECT_THAT(AskFrom(*a.ns, Protocol::kTcp, "fd00:99::1", 8080), HasSubstr("a fd00:99::"));
    ASSERT_OK(network_->Detach("a", a.ns->netns_fd(), Operation()));
    EXPECT_THAT(Ask(Protocol::kTcp, "127.0.0.1", 8080), HasSubstr("error"));
    EXPECT_EQ(Elements(), 0u);
    ASSERT_OK(network_->Reset());
  }
}

// Another machine on the host's network: sees a published port, and the host's address as a pod's.
TEST_F(BridgeNetworkTest, OutsideSeesHostPortsAndTheMasqueradedPod) {
  TestNamespace outside;
  Outside up(outside);
  Pod a("a");
  AttachRequest request = a.Request();
  request.ports = {{.container_port = 80, .host_port = 8080, .host_ip = "192.0.2.1"}};
  ASSERT_OK(Attach(request));
  TestServer in_pod(*a.ns, Protocol::kTcp, 80, "pod");
  TestServer far(outside, Protocol::kTcp, 80, "far");
  EXPECT_EQ(AskFrom(outside, Protocol::kTcp, "192.0.2.1", 8080), "pod 192.0.2.2");
  EXPECT_EQ(AskFrom(*a.ns, Protocol::kTcp, "192.0.2.2", 80), "far 192.0.2.1");
}

// A client that keeps its socket must reach the next pod behind the same UDP port.
TEST_F(BridgeNetworkTest, UdpClientsReachTheNextPod) {
  Pod a("a"), b("b"), client("client");
  ASSERT_OK(Attach(client.Request()));
  AttachRequest request = a.Request();
  request.ports = {{.protocol = Protocol::kUdp, .container_port = 53, .host_port = 8053}};
  ASSERT_OK(Attach(request));
  TestServer first(*a.ns, Protocol::kUdp, 53, "first"), second(*b.ns, Protocol::kUdp, 53, "second");
  UniqueFd socket_in_client;
  client.ns->Run([&] { socket_in_client = ConnectUdp("10.99.0.1", 8053); });
  EXPECT_THAT(AskOn(socket_in_client.get()), HasSubstr("first"));
  ASSERT_OK(network_->Detach("a", a.ns->netns_fd(), Operation()));
  (void)AskOn(socket_in_client.get());  // nobody there: an unanswered flow to the host itself
  request.pod_id = "b";
  request.netns_fd = b.ns->netns_fd();
  request.rtnl_fd = b.ns->rtnl_fd();
  ASSERT_OK(Attach(request));
  EXPECT_TRUE(
      Eventually([&] { return absl::StrContains(AskOn(socket_in_client.get()), "second"); }));
}

// Of a port that has just been published: the answer is under way when its flows are looked at.
TEST_F(BridgeNetworkTest, AnswersThatAreUnderWayFindTheirClient) {
  Pod a("a"), client("client");
  ASSERT_OK(Attach(client.Request()));
  AttachRequest request = a.Request();
  request.ports = {{.protocol = Protocol::kUdp, .container_port = 53, .host_port = 8053}};
  ASSERT_OK(Attach(request));
  UniqueFd server, near, far;
  a.ns->Run([&] { server = BindUdp(53); });
  near = ConnectUdp("127.0.0.1", 8053);
  client.ns->Run([&] { far = ConnectUdp("10.99.0.1", 8053); });
  const PortTarget target{
      .port = {.protocol = Protocol::kUdp, .host_port = 8053, .container_port = 53},
      .pod = IpAddress::Parse("10.99.0.3").value()};
  for (const UniqueFd* each : {&near, &far}) {
    EXPECT_EQ(AskOn(each->get(),
                    [&] {
                      EXPECT_OK(ForgetUdpFlows({target}, {target}));
                      AnswerOne(server.get(), "late");
                    }),
              "late");
  }
}

// A flow with the same port of another host is not the port's.
TEST_F(BridgeNetworkTest, FlowsToOtherHostsStay) {
  TestNamespace outside;
  Outside up(outside);
  Pod a("a"), client("client");
  ASSERT_OK(Attach(client.Request()));
  UniqueFd server, socket_in_client;
  outside.Run([&] { server = BindUdp(8053); });
  client.ns->Run([&] { socket_in_client = ConnectUdp("192.0.2.2", 8053); });
  const PortTarget target{
      .port = {.protocol = Protocol::kUdp, .host_port = 8053, .container_port = 53},
      .pod = IpAddress::Parse("10.99.0.3").value()};
  EXPECT_EQ(AskOn(socket_in_client.get(),
                  [&] {
                    EXPECT_OK(ForgetUdpFlows({target}, {target}));
                    AnswerOne(server.get(), "far");
                  }),
            "far");
}

// CVE-2020-8558: route_localnet on the bridge must not open the host's loopback to pods.
TEST_F(BridgeNetworkTest, PodsCannotReachTheHostsLoopback) {
  Pod a("a");
  ASSERT_OK(Attach(a.Request()));
  TestServer host(TestNamespace::Current(), Protocol::kTcp, 8099, "host");
  a.ns->Run([] {
    EXPECT_EQ(Shell("ip route add 127.0.0.1/32 via 10.99.0.1 dev eth0 src 10.99.0.2 table 7 && "
                    "ip rule add to 127.0.0.1 table 7 pref 0 && ip rule add table local pref 1 && "
                    "ip rule del pref 0 table local && "
                    "echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet"),
              "");
  });
  EXPECT_THAT(AskFrom(*a.ns, Protocol::kTcp, "127.0.0.1", 8099), HasSubstr("error"));
  // It is our rule that stops it.
  EXPECT_EQ(Shell("nft flush chain inet crtest0 loopback"), "");
  EXPECT_EQ(AskFrom(*a.ns, Protocol::kTcp, "127.0.0.1", 8099), "host 10.99.0.2");
}

TEST_F(BridgeNetworkTest, ConflictsNameTheOwnerAndLeaveNothing) {
  Pod a("a"), b("b");
  AttachRequest first = a.Request(), second = b.Request();
  first.ports = {{.container_port = 80, .host_port = 8080}};
  second.ports = {{.container_port = 80, .host_port = 8080}};
  ASSERT_OK(Attach(first));
  EXPECT_THAT(Attach(second),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("default/a (a)")));
  EXPECT_EQ(Veths(), 1u);
  ASSERT_OK(network_->Detach("a", -1, Operation()));
  EXPECT_OK(Attach(second));
}

TEST_F(BridgeNetworkTest, PortsOfTheNodesProcessesAreTheirs) {
  const TestNamespace host = TestNamespace::Current();
  TestServer tcp(host, Protocol::kTcp, 8080, "host");
  const UniqueFd udp = BindUdp(8053), local = ListenOn("127.0.0.1", 8081);
  Pod a("a"), b("b");
  options_.own_ports = {8097};  // of crispd, were it not too busy to listen
  Restart();
  AttachRequest own = a.Request();
  own.ports = {{.container_port = 80, .host_port = 8097}};
  EXPECT_THAT(Attach(own), StatusIs(absl::StatusCode::kAlreadyExists,
                                    HasSubstr("8097 is one of crispd itself")));
  const std::vector<PortMapping> taken[] = {
      {{.container_port = 80, .host_port = 8080}},
      {{.container_port = 80, .host_port = 8080, .host_ip = "127.0.0.1"}},
      {{.container_port = 80, .host_port = 8080, .host_ip = "::"}},
      {{.protocol = Protocol::kUdp, .container_port = 53, .host_port = 8053}},
      {{.container_port = 80, .host_port = 8070}, {.container_port = 80, .host_port = 8081}},
  };
  for (const std::vector<PortMapping>& ports : taken) {
    AttachRequest request = a.Request();
    request.ports = ports;
    EXPECT_THAT(Attach(request).status(),
                StatusIs(absl::StatusCode::kAlreadyExists,
                         HasSubstr(absl::StrCat(ports.back().host_port,
                                                " is taken by a process of the node"))));
  }
  EXPECT_EQ(Ask(Protocol::kTcp, "127.0.0.1", 8080), "host 127.0.0.1");
  EXPECT_EQ(Elements(), 0u);
  // Another address of the node is another port, and nothing was left held.
  AttachRequest request = b.Request();
  request.ports = {{.container_port = 80, .host_port = 8070},
                   {.container_port = 80, .host_port = 8081, .host_ip = "10.99.0.1"},
                   {.protocol = Protocol::kSctp, .container_port = 80, .host_port = 8080}};
  EXPECT_OK(Attach(request));
}

TEST_F(BridgeNetworkTest, PortsOfPodsAreTheirs) {
  Pod a("a");
  AttachRequest request = a.Request();
  request.ports = {{.container_port = 80, .host_port = 8080},
                   {.protocol = Protocol::kUdp, .container_port = 53, .host_port = 8053},
                   {.container_port = 80, .host_port = 8082, .host_ip = "127.0.0.1"}};
  ASSERT_OK(Attach(request));
  TestServer server(*a.ns, Protocol::kTcp, 80, "a"), dns(*a.ns, Protocol::kUdp, 53, "dns");
  const auto held = [] {
    EXPECT_FALSE(ListenOn("127.0.0.1", 8080)) << "all addresses";
    EXPECT_FALSE(ListenOn("0.0.0.0", 8080));
    EXPECT_FALSE(ListenOn("::", 8080));
    EXPECT_FALSE(ListenOn("0.0.0.0", 8082));
    EXPECT_TRUE(ListenOn("127.0.0.2", 8082));
    EXPECT_FALSE(TakesUdp(8053));
  };
  held();
  EXPECT_EQ(Ask(Protocol::kTcp, "127.0.0.1", 8080), "a 10.99.0.1");
  EXPECT_EQ(Ask(Protocol::kUdp, "127.0.0.1", 8053), "dns 10.99.0.1");
  EXPECT_EQ(Ask(Protocol::kTcp, "10.99.0.1", 8080), "a 10.99.0.1");
  EXPECT_THAT(Ask(Protocol::kTcp, "::1", 8080), HasSubstr("Connection refused"));
  // The next life takes them again; whoever keeps them meanwhile may go on doing so.
  Restart();
  held();
  {
    const std::vector<UniqueFd> kept = network_->TakePortHolds("a");
    EXPECT_EQ(kept.size(), 5u);
    EXPECT_TRUE(network_->TakePortHolds("a").empty());
    held();
    Restart();
    EXPECT_TRUE(network_->TakePortHolds("a").empty());
    ASSERT_OK(network_->Detach("a", -1, Operation()));
    held();
  }
  EXPECT_TRUE(ListenOn("0.0.0.0", 8080));
  EXPECT_TRUE(TakesUdp(8053));
}

// The last connections of a server that has ended keep its port for a minute.
TEST_F(BridgeNetworkTest, APortIsFreeWhenItsServerIsGone) {
  {
    TestServer server(TestNamespace::Current(), Protocol::kTcp, 8080, "host");
    EXPECT_EQ(Ask(Protocol::kTcp, "127.0.0.1", 8080), "host 127.0.0.1");
  }
  ASSERT_THAT(Shell("ss -tan"), HasSubstr("TIME-WAIT"));
  Pod a("a");
  AttachRequest request = a.Request();
  request.ports = {{.container_port = 80, .host_port = 8080}};
  EXPECT_OK(Attach(request));
}

TEST_F(BridgeNetworkTest, FailedAttachLeavesNothing) {
  Pod good("good"), a("a");
  ASSERT_OK(Attach(good.Request()));
  AttachRequest request = a.Request();
  request.rtnl_fd = open("/dev/null", O_RDWR | O_CLOEXEC);  // the pod's side will fail
  request.ports = {{.container_port = 80, .host_port = 8080}};
  EXPECT_FALSE(Attach(request).ok());
  close(request.rtnl_fd);
  EXPECT_EQ(Veths(), 1u);
  EXPECT_EQ(Elements(), 0u);
  EXPECT_THAT(network_->Find("a"), StatusIs(absl::StatusCode::kNotFound));
  request = a.Request();
  request.ports = {{.container_port = 80, .host_port = 8080}};
  EXPECT_OK(Attach(request));
  request = Pod("c").Request();
  request.annotations = {{"kubernetes.io/ingress-bandwidth", "fast"}};
  EXPECT_THAT(Attach(request), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(BridgeNetworkTest, AddressIsFreeWhenTheLinkIsGone) {
  options_.subnets = {"10.99.1.0/29"};
  Restart();
  std::vector<std::unique_ptr<Pod>> pods;
  for (int i = 0; i < 5; ++i) {
    pods.push_back(std::make_unique<Pod>(absl::StrCat("p", i)));
    ASSERT_OK(Attach(pods.back()->Request()));
  }
  Pod extra("extra");
  EXPECT_THAT(Attach(extra.Request()), StatusIs(absl::StatusCode::kResourceExhausted));
  ASSERT_OK(network_->Detach("p2", pods[2]->ns->netns_fd(), Operation()));
  // Its namespace is open still, so the address is in use.
  EXPECT_THAT(Attach(extra.Request()), StatusIs(absl::StatusCode::kResourceExhausted));
  pods[2]->Close();
  EXPECT_TRUE(Eventually([&] { return Attach(extra.Request()).ok(); }));
  EXPECT_EQ(network_->Find("extra").value().addresses.front(), "10.99.1.4");
}

TEST_F(BridgeNetworkTest, RestartFindsTheSame) {
  Pod a("a"), b("b"), gone("gone");
  AttachRequest request = a.Request();
  request.ports = {{.container_port = 80, .host_port = 8080}};
  ASSERT_OK_AND_ASSIGN(const Attachment before, Attach(request));
  ASSERT_OK(Attach(gone.Request()));
  Restart();
  EXPECT_EQ(network_->Find("a").value().addresses, before.addresses);
  // Damage that nobody has seen is repaired.
  (void)Shell("nft delete table inet crtest0; ip link del crtest0");
  ASSERT_OK(network_->Reconcile({"a"}));
  EXPECT_THAT(network_->Find("gone"), StatusIs(absl::StatusCode::kNotFound));
  TestServer server(*a.ns, Protocol::kTcp, 80, "a");
  EXPECT_EQ(Ask(Protocol::kTcp, "127.0.0.1", 8080), "a 10.99.0.1");
  request = b.Request();
  request.ports = {{.container_port = 80, .host_port = 8080}};
  EXPECT_THAT(Attach(request), StatusIs(absl::StatusCode::kAlreadyExists));
  ASSERT_OK_AND_ASSIGN(const Attachment at_b, Attach(b.Request()));
  EXPECT_EQ(at_b.addresses.front(), "10.99.0.5");  // the refused one's goes round
}

TEST_F(BridgeNetworkTest, SurvivesAFlushedRuleSetAndADeletedBridge) {
  Pod a("a"), b("b");
  AttachRequest request = a.Request();
  request.ports = {{.container_port = 80, .host_port = 8080}};
  ASSERT_OK(Attach(request));
  TestServer server(*a.ns, Protocol::kTcp, 80, "a");
  (void)Shell("nft flush ruleset; ip link del crtest0");
  request = b.Request();
  request.ports = {{.container_port = 80, .host_port = 8081}};
  ASSERT_OK(Attach(request));
  EXPECT_EQ(Ask(Protocol::kTcp, "127.0.0.1", 8080), "a 10.99.0.1");
  (void)Shell("nft flush ruleset");
  EXPECT_OK(network_->Detach("a", -1, Operation()));
  EXPECT_EQ(Elements(), 2u);  // b's, for both families
}

TEST_F(BridgeNetworkTest, NewPodCidrKeepsOldPods) {
  Pod a("a"), b("b");
  ASSERT_OK(Attach(a.Request()));
  EXPECT_THAT(network_->SetPodCidr("10.1.0.0"), StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_OK(network_->SetPodCidr("10.98.0.0/24"));
  ASSERT_OK_AND_ASSIGN(const Attachment at_b, Attach(b.Request()));
  EXPECT_EQ(at_b.addresses, (std::vector<std::string>{"10.98.0.2"}));
  TestServer server(*a.ns, Protocol::kTcp, 80, "a");
  EXPECT_EQ(AskFrom(*b.ns, Protocol::kTcp, "10.99.0.2", 80), "a 10.98.0.2");
  Restart();
  Pod c("c");
  EXPECT_EQ(Attach(c.Request()).value().addresses.front(), "10.98.0.3");
}

TEST_F(BridgeNetworkTest, InstancesLiveSideBySide) {
  NetworkOptions other = options_;
  other.state = dir_.path() + "/other";
  other.bridge_name = "crtest1";
  other.subnets = {"10.97.0.0/24"};
  ASSERT_OK_AND_ASSIGN(auto second, PodNetwork::Create(other));
  Pod a("a"), b("b");
  ASSERT_OK(Attach(a.Request()));
  ASSERT_OK(second->Attach(b.Request(), Operation()));
  TestServer server(*a.ns, Protocol::kTcp, 80, "a");
  EXPECT_THAT(AskFrom(*b.ns, Protocol::kTcp, "10.99.0.2", 80), HasSubstr("a 10."));
  ASSERT_OK(second->Reset());
  EXPECT_EQ(Ask(Protocol::kTcp, "10.99.0.2", 80), "a 10.99.0.1");
  EXPECT_EQ(Veths(), 1u);
}

TEST_F(BridgeNetworkTest, ABridgeIsOneInstances) {
  NetworkOptions other = options_;
  other.state = dir_.path() + "/other";
  EXPECT_THAT(PodNetwork::Create(other), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                  HasSubstr("another crispd of this node")));
  Pod a("a");
  ASSERT_OK(Attach(a.Request()));
  // Also of one whose daemon is down, as after a SIGKILL.
  network_.reset();
  EXPECT_THAT(PodNetwork::Create(other),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(options_.state)));
  Restart();
  EXPECT_TRUE(GetLink(OpenRtnl()->get(), "crtest0").ok());
  // The bridge of an instance that was removed by hand is anybody's.
  network_.reset();
  ASSERT_OK(RemoveTree(options_.state));
  options_.state = other.state;
  Restart();
  ASSERT_OK(Attach(Pod("b").Request()));
}

TEST_F(BridgeNetworkTest, ANetworkOfSomebodyElsesIsNotUsed) {
  const std::string text = "packets to 10.99.0.0/24 go to other0 by its route to 10.99.0.0/24";
  (void)Shell(
      "ip link add other0 type bridge; ip addr add 10.99.0.1/24 dev other0; ip link set other0 up");
  Restart();
  EXPECT_FALSE(network_->Condition().ready);
  EXPECT_THAT(network_->Condition().message, HasSubstr(text));
  Pod a("a");
  EXPECT_THAT(Attach(a.Request()), StatusIs(absl::StatusCode::kUnavailable, HasSubstr(text)));
  EXPECT_THAT(GetLink(OpenRtnl()->get(), "crtest0"), StatusIs(absl::StatusCode::kNotFound));
  (void)Shell("ip link del other0");
  ASSERT_OK(Attach(a.Request()));
  EXPECT_TRUE(network_->Condition().ready);
  // And one that comes later.
  (void)Shell(
      "ip link add other0 type bridge; ip link set other0 up; ip route add 10.99.0.3/32 dev "
      "other0");
  EXPECT_THAT(Attach(Pod("b").Request()), StatusIs(absl::StatusCode::kUnavailable,
                                                   HasSubstr("packets to 10.99.0.3 go to other0")));
  EXPECT_FALSE(network_->Condition().ready);
  EXPECT_EQ(Veths(), 1u);
  (void)Shell("ip link del other0");
  EXPECT_OK(Attach(Pod("b").Request()));
}

TEST_F(BridgeNetworkTest, TheDefaultNetworkIsOneThatNobodyHas) {
  const auto first = [this](const char* id) {
    Pod pod(id);
    const auto attached = Attach(pod.Request());
    return attached.ok() ? attached->addresses.front() : std::string(attached.status().message());
  };
  options_.subnets = {};
  Restart();
  EXPECT_EQ(first("a"), "10.79.0.2");
  ASSERT_OK(network_->Reset());
  (void)Shell(
      "ip link add other0 type bridge; ip addr add 10.79.7.1/24 dev other0; ip link set other0 up;"
      "ip route add 10.63.0.0/16 dev other0");
  Restart();
  EXPECT_EQ(first("b"), "10.117.0.2");
  Restart();  // chosen once
  (void)Shell("ip link del other0");
  EXPECT_EQ(first("c"), "10.117.0.3");
  ASSERT_OK(network_->Reset());
  // A wide one is no hindrance where all are in it.
  (void)Shell(
      "ip link add other0 type bridge; ip link set other0 up;"
      "ip route add 10.0.0.0/8 dev other0; ip route add 172.16.0.0/12 dev other0");
  Restart();
  EXPECT_EQ(first("d"), "10.79.0.2");
  (void)Shell("ip link del other0");
}

TEST_F(BridgeNetworkTest, CountersAreThePodsOwn) {
  Pod a("a");
  ASSERT_OK(Attach(a.Request()));
  TestServer server(*a.ns, Protocol::kTcp, 80, std::string(100'000, 'x'));
  (void)Ask(Protocol::kTcp, "10.99.0.2", 80);
  ASSERT_OK_AND_ASSIGN(const auto counters, network_->Counters());
  ASSERT_EQ(counters.at("a").size(), 1u);
  EXPECT_EQ(counters.at("a")[0].name, "eth0");
  EXPECT_GT(counters.at("a")[0].tx_bytes, 100'000u);
  EXPECT_LT(counters.at("a")[0].rx_bytes, 50'000u);
}

TEST_F(BridgeNetworkTest, BandwidthIsLimitedBothWays) {
  Pod a("a");
  AttachRequest request = a.Request();
  request.annotations = {{"kubernetes.io/ingress-bandwidth", "16M"},
                         {"kubernetes.io/egress-bandwidth", "8M"}};
  ASSERT_OK(Attach(request));
  EXPECT_THAT(Shell("tc qdisc"), HasSubstr("rate 8Mbit"));
  EXPECT_THAT(Shell("tc qdisc"), HasSubstr("rate 16Mbit"));
  auto seconds = [](auto&& body) {
    const absl::Time start = absl::Now();
    body();
    return absl::ToDoubleSeconds(absl::Now() - start);
  };
  {
    TestServer server(*a.ns, Protocol::kTcp, 80, std::string(800'000, 'x'));
    const double egress =
        seconds([&] { EXPECT_GT(Ask(Protocol::kTcp, "10.99.0.2", 80).size(), 800'000u); });
    EXPECT_GT(egress, 0.5);  // 6.4 Mbit at 8 Mbit/s, less the bucket
    EXPECT_LT(egress, 2.0);
  }
  {
    Pod b("b");
    ASSERT_OK(Attach(b.Request()));
    TestServer server(*b.ns, Protocol::kTcp, 80, std::string(1'600'000, 'x'));
    const double ingress = seconds(
        [&] { EXPECT_GT(AskFrom(*a.ns, Protocol::kTcp, "10.99.0.3", 80).size(), 1'600'000u); });
    EXPECT_GT(ingress, 0.5);
    EXPECT_LT(ingress, 2.0);
  }
  ASSERT_OK(network_->Detach("a", -1, Operation()));
  a.Close();
  EXPECT_TRUE(Eventually([] { return ListLinks(OpenRtnl()->get(), "ifb")->empty(); }));
}

TEST_F(BridgeNetworkTest, ManyCyclesLeaveNothing) {
  absl::Duration in_attach, in_detach;
  constexpr int kCycles = 200;
  for (int i = 0; i < kCycles; ++i) {
    Pod pod(absl::StrCat("pod-", i));
    AttachRequest request = pod.Request();
    if (getenv("NOPORTS") == nullptr)
      request.ports = {{.container_port = 80, .host_port = static_cast<uint16_t>(8000 + i % 7)}};
    const absl::Time start = absl::Now();
    ASSERT_OK(Attach(request));
    const absl::Time attached = absl::Now();
    ASSERT_OK(network_->Detach(pod.id, pod.ns->netns_fd(), Operation()));
    in_attach += attached - start;
    in_detach += absl::Now() - attached;
  }
  RecordProperty("attach_us", static_cast<int>(absl::ToInt64Microseconds(in_attach / kCycles)));
  RecordProperty("detach_us", static_cast<int>(absl::ToInt64Microseconds(in_detach / kCycles)));
  printf("attach %.0f us, detach %.0f us\n", absl::ToDoubleMicroseconds(in_attach / kCycles),
         absl::ToDoubleMicroseconds(in_detach / kCycles));
  EXPECT_TRUE(Eventually([&] { return Veths() == 0; }));
  EXPECT_EQ(Elements(), 0u);
  // No lease is left either: a /30 has room for one pod only.
  options_.subnets = {"10.99.0.0/30"};
  Restart();
  Pod last("last");
  EXPECT_OK(Attach(last.Request()));
}

TEST_F(BridgeNetworkTest, ResetRemovesEveryTrace) {
  Pod a("a");
  AttachRequest request = a.Request();
  request.annotations = {{"kubernetes.io/egress-bandwidth", "8M"}};
  ASSERT_OK(Attach(request));
  ASSERT_OK(network_->Reset());
  EXPECT_EQ(Veths(), 0u);
  EXPECT_EQ(Shell("nft list tables"), "");
  EXPECT_TRUE(ListLinks(OpenRtnl()->get(), "bridge")->empty());
  EXPECT_TRUE(ListLinks(OpenRtnl()->get(), "ifb")->empty());
  EXPECT_THAT(network_->Find("a"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace crisp::network
