#include "network/values/host_ports.h"

#include "base/testing/status_matchers.h"

namespace crisp::network {
namespace {

using ::testing::HasSubstr;

std::vector<HostPort> Ports(std::vector<PortMapping> mappings) {
  return CheckHostPorts(mappings).value();
}

TEST(HostPortsTest, UnpublishedAndRepeatedMappingsVanish) {
  EXPECT_EQ(Ports({{.container_port = 80}}).size(), 0u);
  EXPECT_EQ(
      Ports({{.container_port = 80, .host_port = 8080}, {.container_port = 80, .host_port = 8080}})
          .size(),
      1u);
}

TEST(HostPortsTest, RefusesWhatCannotWork) {
  for (const std::vector<PortMapping>& bad :
       {std::vector<PortMapping>{{.container_port = 80, .host_port = 1, .host_ip = "x"}},
        std::vector<PortMapping>{{.container_port = 0, .host_port = 1}},
        std::vector<PortMapping>{{.container_port = 80, .host_port = 1},
                                 {.container_port = 81, .host_port = 1}},
        std::vector<PortMapping>(5000, {.container_port = 80, .host_port = 1})}) {
    EXPECT_THAT(CheckHostPorts(bad), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST(HostPortsTest, ConflictsNameTheOwner) {
  HostPortOwners owners;
  ASSERT_OK(owners.Claim("a", "default/web", Ports({{.container_port = 80, .host_port = 8080}})));
  EXPECT_THAT(
      owners.Claim("b", "default/two",
                   Ports({{.container_port = 80, .host_port = 8080, .host_ip = "10.0.0.1"}})),
      StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("default/web (a)")));
  EXPECT_OK(
      owners.Claim("b", "default/two",
                   Ports({{.protocol = Protocol::kUdp, .container_port = 80, .host_port = 8080}})));
  owners.Release("a");
  EXPECT_OK(owners.Claim("b", "default/two", Ports({{.container_port = 80, .host_port = 8080}})));
}

TEST(HostPortsTest, DifferentAddressesAndFamiliesDoNotCollide) {
  HostPortOwners owners;
  auto at = [](const char* ip) {
    return Ports({{.container_port = 80, .host_port = 53, .host_ip = ip}});
  };
  ASSERT_OK(owners.Claim("a", "a", at("127.0.0.1")));
  ASSERT_OK(owners.Claim("b", "b", at("127.0.0.2")));
  ASSERT_OK(owners.Claim("c", "c", at("::")));
  EXPECT_THAT(owners.Claim("d", "d", at("0.0.0.0")), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(owners.Claim("d", "d", at("fd00::1")), StatusIs(absl::StatusCode::kAlreadyExists));
}

}  // namespace
}  // namespace crisp::network
