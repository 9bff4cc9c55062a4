#include "network/values/ip_address.h"

#include "base/testing/status_matchers.h"

namespace crisp::network {
namespace {

IpAddress Ip(absl::string_view text) { return IpAddress::Parse(text).value(); }

TEST(IpAddressTest, RoundTripsBothFamilies) {
  for (const char* text : {"0.0.0.0", "10.88.0.5", "255.255.255.255", "::", "fd00:88::5"}) {
    EXPECT_EQ(Ip(text).ToString(), text);
  }
  EXPECT_TRUE(Ip("fd00::1").is_v6());
  EXPECT_FALSE(Ip("10.0.0.1").is_v6());
}

TEST(IpAddressTest, RefusesWhatIsNoAddress) {
  const std::string nul("10.0.0.1\0", 9);
  for (const std::string& text : {std::string(), std::string("10.0.0"), std::string("10.0.0.256"),
                                  std::string("fe80::1%eth0"), std::string(" 10.0.0.1"), nul,
                                  std::string("1:2:3:4:5:6:7:8:9"), std::string(500, '1')}) {
    EXPECT_THAT(IpAddress::Parse(text), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST(IpAddressTest, AddsWithCarry) {
  EXPECT_EQ(Ip("10.88.0.255").Plus(1), Ip("10.88.1.0"));
  EXPECT_EQ(Ip("fd00::ffff:ffff:ffff:ffff").Plus(1), Ip("fd00:0:0:1::"));
  EXPECT_EQ(Ip("255.255.255.255").Plus(1), Ip("0.0.0.0"));
}

TEST(IpPrefixTest, ClearsHostBitsAndContains) {
  ASSERT_OK_AND_ASSIGN(const IpPrefix prefix, IpPrefix::Parse("10.88.3.7/20"));
  EXPECT_EQ(prefix.ToString(), "10.88.0.0/20");
  EXPECT_TRUE(prefix.Contains(Ip("10.88.15.255")));
  EXPECT_FALSE(prefix.Contains(Ip("10.88.16.0")));
  EXPECT_FALSE(prefix.Contains(Ip("fd00::1")));
}

TEST(IpPrefixTest, RefusesMalformedLengths) {
  for (const char* text : {"10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "fd00::/129", "10.0.0.0/-1",
                           "10.0.0.0/+8", "10.0.0.0/8/8", "10.0.0.0/0x8"}) {
    EXPECT_THAT(IpPrefix::Parse(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

TEST(IpPrefixTest, ListsHoldOnePrefixOfEachFamily) {
  ASSERT_OK_AND_ASSIGN(const auto both, ParsePrefixList("10.1.0.0/24, fd00:1::/64"));
  EXPECT_EQ(both.size(), 2u);
  EXPECT_THAT(ParsePrefixList("10.1.0.0/24,10.2.0.0/24"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParsePrefixList(""), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace crisp::network
