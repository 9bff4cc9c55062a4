#include <string>

#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "cli/doctor/doctor_checks.h"
#include "cli/doctor/doctor_collect.h"
#include "network/link/testing/test_netns.h"

namespace crisp::cli {
namespace {

using ::testing::HasSubstr;

// The finding about the pods' subnet on a host whose links and routes `commands` make.
Finding FindingAfter(const std::string& commands) {
  const TempDir dir;
  Finding found;
  network::TestNamespace().Run([&] {
    network::Shell("ip link set lo up; " + commands);
    NodeFacts facts;
    facts.config.network.bridge_name = "pods0";
    facts.config.network.subnets = {"10.79.0.0/16"};
    facts.config.network.cni_conf_dir = dir.path();
    CollectNetwork({.prefix = dir.path()}, facts);
    for (const Finding& finding : CheckNetwork(facts)) {
      if (finding.check.starts_with("pod subnet")) found = finding;
    }
  });
  return found;
}

constexpr char kPods[] =
    "ip link add pods0 type bridge; ip address add 10.79.0.1/16 dev pods0; ip link set pods0 up; ";
constexpr char kVpn[] =
    "ip link add vpn type veth peer name far; ip link set vpn up; ip link set far up; ";

TEST(DoctorRootTest, TheBuiltInNetworksOwnRoutesAreNobodyElses) {
  const Finding finding = FindingAfter(kPods);
  EXPECT_EQ(finding.level, Level::kOk) << finding.found;
  EXPECT_EQ(finding.check, "pod subnet 10.79.0.0/16");
}

TEST(DoctorRootTest, ARouteThatTakesPodsAddressesIsNamed) {
  for (const std::string bridge : {"", kPods}) {
    const Finding finding = FindingAfter(bridge + kVpn + "ip route add 10.79.128.0/17 dev vpn");
    EXPECT_EQ(finding.level, Level::kError);
    EXPECT_THAT(finding.found, HasSubstr("route to 10.79.128.0/17 by vpn"));
  }
}

TEST(DoctorRootTest, ARouteWhoseAddressesPodsTakeIsNamed) {
  const Finding finding =
      FindingAfter(kPods + std::string(kVpn) + "ip route add 10.0.0.0/8 dev vpn");
  EXPECT_EQ(finding.level, Level::kWarning);
  EXPECT_THAT(finding.found, HasSubstr("within the node's route to 10.0.0.0/8 by vpn"));
}

TEST(DoctorRootTest, TheBridgesSubnetCountsThatTheKubeletMayHaveNamed) {
  const Finding finding = FindingAfter(
      "ip link add pods0 type bridge; ip address add 10.33.1.1/24 dev pods0; ip link set pods0 up; "
      "ip route add blackhole 10.33.1.128/25; ip route add blackhole 10.79.0.0/16");
  EXPECT_EQ(finding.level, Level::kError);
  EXPECT_EQ(finding.check, "pod subnet 10.33.1.0/24");
  EXPECT_THAT(finding.found, HasSubstr("10.33.1.128/25 by no interface"));
}

}  // namespace
}  // namespace crisp::cli
