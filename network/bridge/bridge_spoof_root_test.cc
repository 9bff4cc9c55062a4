// Pods of the built-in network speak for nobody but themselves. Needs root.

#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "base/testing/eventually.h"
#include "network/bridge/host_side.h"
#include "network/bridge/testing/bridge_test.h"

namespace crisp::network {
namespace {

using ::testing::HasSubstr;

// Each pod sends as itself only, to its neighbours and to the host.
class SpoofTest : public BridgeNetworkTest {
 protected:
  void SetUp() override {
    BridgeNetworkTest::SetUp();
    host_ = BindUdp(9053);
    AttachAll();
  }
  void AttachAll() {
    ASSERT_OK(Attach(a_.Request()));
    ASSERT_OK(Attach(b_.Request()));
    // The kernel joins the multicast groups of a new IPv6 address in the background. A question
    // before that is repeated after a second.
    EXPECT_TRUE(
        Eventually([&] { return absl::StrContains(NeighbourOfB("fd00:99::1", ""), "lladdr"); }));
  }
  // True if a datagram of a's, sent as `setup` has it, comes to the host.
  bool Arrives(const std::string& setup, const std::string& source = "") {
    while (Receives(host_.get(), absl::ZeroDuration())) continue;  // what waited for ARP before
    a_.ns->Run([&] {
      EXPECT_EQ(Shell(setup), "");
      EXPECT_EQ(SendUdp(source, "10.99.0.1", 9053), "");
    });
    return Receives(host_.get(),
                    absl::Milliseconds(1500));  // a lost ARP request is repeated after one second
  }
  // The MAC of b's entry for the host, after a has sent the frame.
  std::string NeighbourOfB(const std::string& address, absl::string_view frame) {
    b_.ns->Run([&] {
      // Otherwise a fresh entry is not changed for a second.
      EXPECT_EQ(Shell("echo 0 >/proc/sys/net/ipv4/neigh/eth0/locktime 2>&1"), "");
      (void)AskOn(ConnectUdp(address, 9053).get());
    });
    a_.ns->Run([&] {
      // Sent again and again, for an entry is not changed in the tick that made it either.
      (void)Stays(
          [&] {
            SendFrame("eth0", frame);
            return true;
          },
          absl::Milliseconds(40));
      (void)AskOn(ConnectUdp("10.99.0.3", 9053).get());  // b has taken the frames before this one
    });
    std::string entry;
    b_.ns->Run([&] { entry = Shell("ip neigh show " + address); });
    return entry;
  }
  // An ARP answer to b from a: `ip` is at `mac`.
  static std::string ArpAnswer(const std::string& sender,
                               const std::string& mac,
                               const std::string& ip) {
    return absl::HexStringToBytes(absl::StrCat("0a580a630003", sender, "0806", "0001080006040002",
                                               mac, ip, "0a580a630003", "0a630003"));
  }
  UniqueFd host_;
  Pod a_{"a"}, b_{"b"};
};

TEST_F(SpoofTest, AddressesOfOthersDoNotPass) {
  EXPECT_TRUE(Arrives(""));
  EXPECT_FALSE(Arrives("ip addr add 10.99.0.3/32 dev eth0", "10.99.0.3")) << "a neighbour's";
  EXPECT_FALSE(Arrives("ip addr add 8.8.8.8/32 dev eth0", "8.8.8.8")) << "the world's";
  const std::string loopback = "echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet";
  EXPECT_FALSE(Arrives(loopback, "127.0.0.9"));
  EXPECT_FALSE(Arrives("ip link set eth0 address 0a:58:0a:63:00:03")) << "a neighbour's MAC";
  EXPECT_TRUE(Arrives("ip link set eth0 address 0a:58:0a:63:00:02"));
}

TEST_F(SpoofTest, NobodySpeaksForOthersByArp) {
  const std::string gateway = ToString(MacFor(IpAddress::Parse("10.99.0.1").value()));
  EXPECT_THAT(NeighbourOfB("10.99.0.1", ""), HasSubstr(gateway));
  for (const auto& [sender, mac] : {std::pair{"0a580a630002", "0a580a630002"},
                                    {"0a580a630002", "0a580a630001"},
                                    {"0a580a630001", "0a580a630002"}}) {
    EXPECT_THAT(NeighbourOfB("10.99.0.1", ArpAnswer(sender, mac, "0a630001")), HasSubstr(gateway));
  }
  // For itself it does, and in no tagged frame either.
  EXPECT_THAT(NeighbourOfB("10.99.0.2", ArpAnswer("0a580a630002", "0a580a630002", "0a630002")),
              HasSubstr("0a:58:0a:63:00:02"));
  std::string tagged = ArpAnswer("0a580a630002", "0a580a630002", "0a630001");
  tagged.insert(12, std::string("\x81\x00\x00\x00", 4));
  EXPECT_THAT(NeighbourOfB("10.99.0.1", tagged), HasSubstr(gateway));
}

TEST_F(SpoofTest, NobodyAdvertisesOthers) {
  // Unsolicited, override: fd00:99::1 is at a's MAC. Its checksum is right.
  const std::string gateway = ToString(MacFor(IpAddress::Parse("10.99.0.1").value()));
  EXPECT_THAT(NeighbourOfB("fd00:99::1", ""), HasSubstr(gateway));
  for (const char* source : {"fd00:99::1", "fd00:99::2"}) {
    EXPECT_THAT(NeighbourOfB("fd00:99::1", NeighbourAdvertisement(source, "fd00:99::1")),
                HasSubstr(gateway));
  }
}

TEST_F(SpoofTest, ItCanBeSwitchedOff) {
  options_.anti_spoofing = false;
  ASSERT_OK(network_->Reset());
  Restart();
  a_.ns.emplace(), b_.ns.emplace();
  AttachAll();
  EXPECT_EQ(Shell("nft list tables bridge"), "");
  EXPECT_TRUE(Arrives("ip addr add 10.99.0.3/32 dev eth0", "10.99.0.3"));
  // This one is nobody's to send, whatever is switched off.
  EXPECT_FALSE(Arrives("echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet", "127.0.0.9"));
  const std::string frame = ArpAnswer("0a580a630002", "0a580a630002", "0a630001");
  EXPECT_TRUE(Eventually([&] {
    return absl::StrContains(NeighbourOfB("10.99.0.1", frame), "0a:58:0a:63:00:02");
  })) << "the attack is one";
}

TEST_F(SpoofTest, SurvivesARestartAndAFlushedRuleSet) {
  (void)Shell("ip link set crtest0 alias 'crisp " + options_.state + "'; nft flush ruleset");
  Pod c("c");
  ASSERT_OK(Attach(c.Request()));
  EXPECT_FALSE(Arrives("ip addr add 10.99.0.3/32 dev eth0", "10.99.0.3"));
  (void)Shell("nft delete table bridge crtest0");
  EXPECT_TRUE(Arrives("", "10.99.0.3"));
  Restart();
  ASSERT_OK(network_->Reconcile({"a", "b", "c"}));
  EXPECT_FALSE(Arrives("", "10.99.0.3"));
  EXPECT_TRUE(Arrives(""));
  // The table forgets pods that are gone.
  for (Pod* pod : {&a_, &b_, &c}) {
    ASSERT_OK(network_->Detach(pod->id, pod->ns->netns_fd(), Operation()));
    pod->Close();
  }
  EXPECT_TRUE(Eventually([] { return !absl::StrContains(Shell("nft list ruleset"), "0a:58:0a"); }));
  EXPECT_FALSE(absl::StrContains(Shell("nft list table bridge crtest0"), "elements"));
}

}  // namespace
}  // namespace crisp::network
