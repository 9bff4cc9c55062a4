#include "base/testing/status_matchers.h"
#include "network/pod/pod_network.h"

namespace crisp::network {
namespace {

TEST(ResolvConfTest, RendersSearchesServersOptions) {
  ASSERT_OK_AND_ASSIGN(const std::string text,
                       RenderResolvConf({.servers = {"10.0.0.10", "fd00::10"},
                                         .searches = {"a.svc", "svc"},
                                         .options = {"ndots:5", "edns0"}}));
  EXPECT_EQ(text,
            "search a.svc svc\nnameserver 10.0.0.10\nnameserver fd00::10\noptions ndots:5 edns0\n");
  EXPECT_EQ(RenderResolvConf({}).value(), "");
}

TEST(ResolvConfTest, RefusesLinesInsideWords) {
  for (const char* bad : {"", "a b", "a\nnameserver 6.6.6.6", "a\x7f", "\t"}) {
    EXPECT_THAT(RenderResolvConf({.servers = {bad}}), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(RenderResolvConf({.searches = {bad}}),
                StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(RenderResolvConf({.options = {bad}}), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST(HostsTest, EndsWithTheAddressesOfThePod) {
  const std::string text = RenderHosts("web-0", {"10.88.0.5", "fd00:88::5"});
  EXPECT_EQ(text.rfind("127.0.0.1\tlocalhost\n", 0), 0u);
  EXPECT_NE(text.find("\n10.88.0.5\tweb-0\nfd00:88::5\tweb-0\n"), std::string::npos);
}

}  // namespace
}  // namespace crisp::network
