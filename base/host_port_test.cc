#include "base/host_port.h"

#include <gmock/gmock.h>

#include "base/testing/status_matchers.h"

namespace crisp {
namespace {

TEST(HostPortTest, TakesNamesAndAddressesOfBothFamilies) {
  struct Case {
    const char *text, *host, *bare;
    int port;
  };
  for (const Case& c :
       {Case{"127.0.0.1:9110", "127.0.0.1", "127.0.0.1", 9110}, Case{"[::1]:0", "[::1]", "::1", 0},
        Case{"node-7.example:65535", "node-7.example", "node-7.example", 65535}}) {
    ASSERT_OK_AND_ASSIGN(const HostPort parsed, HostPort::Parse(c.text));
    EXPECT_EQ(parsed.host, c.host);
    EXPECT_EQ(parsed.BareHost(), c.bare);
    EXPECT_EQ(parsed.port, c.port);
  }
}

TEST(HostPortTest, RefusesEveryOtherForm) {
  for (const char* text :
       {"", ":", "9110", ":9110", "nonsense", "a:", "a:b", "a:-1", "a:+1", "a: 1", "a:65536",
        "a:99999999999", "::1:80", "[]:80", "[::1:80", "::1]:80", "[[::1]]:80", "a b:1", "a/b:1"}) {
    EXPECT_THAT(HostPort::Parse(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

}  // namespace
}  // namespace crisp
