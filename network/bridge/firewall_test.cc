#include "network/bridge/firewall.h"

#include "base/testing/status_matchers.h"

namespace crisp::network {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

IpAddress Ip(const char* text) { return IpAddress::Parse(text).value(); }

TEST(FirewallTest, ElementsGoToTheMapOfTheirKind) {
  const HostPort any{.protocol = Protocol::kUdp, .host_port = 53, .container_port = 5353};
  HostPort one{.host_port = 80, .container_port = 8080, .host_ip = Ip("fd00::1")};
  EXPECT_EQ(ElementCommands("br", "add", {{any, Ip("10.0.0.2")}, {one, Ip("fd00:1::2")}}),
            "add element inet br any4 { udp . 53 : 10.0.0.2 . 5353 }\n"
            "add element inet br one6 { tcp . fd00::1 . 80 : fd00:1::2 . 8080 }\n");
  one.host_ip = Ip("::");  // every address of the family
  EXPECT_EQ(ElementCommands("br", "delete", {{one, Ip("fd00:1::2")}}),
            "delete element inet br any6 { tcp . 80 : fd00:1::2 . 8080 }\n");
}

TEST(FirewallTest, TableHoldsSubnetsAndMasqueradesOnlyWhenAsked) {
  FirewallRules rules{.bridge = "br", .subnets = {IpPrefix::Parse("10.1.0.0/16").value()}};
  const std::string with = ReplaceTableCommands(rules);
  EXPECT_THAT(with, HasSubstr("elements = { 10.1.0.0/16 }"));
  EXPECT_THAT(with, HasSubstr("oifname != \"br\" masquerade"));
  EXPECT_THAT(with, Not(HasSubstr("$")));
  rules.masquerade = false;
  EXPECT_THAT(ReplaceTableCommands(rules), Not(HasSubstr("oifname != \"br\" masquerade")));
}

}  // namespace
}  // namespace crisp::network
