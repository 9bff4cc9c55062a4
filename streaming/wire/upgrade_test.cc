#include "streaming/wire/upgrade.h"

#include <gtest/gtest.h>

#include "base/testing/status_matchers.h"

namespace crisp::streaming {
namespace {

using Kind = SessionRequest::Kind;
using ::testing::ElementsAre;

TEST(UpgradeTest, ParsesTheThreePaths) {
  auto exec = ParseTarget("/exec/abc-_09");
  ASSERT_TRUE(exec.has_value());
  EXPECT_EQ(exec->kind, Kind::kExec);
  EXPECT_EQ(exec->token, "abc-_09");
  EXPECT_EQ(ParseTarget("/attach/x?tty=1")->kind, Kind::kAttach);
  EXPECT_EQ(ParseTarget("/portforward/x")->kind, Kind::kPortForward);
  for (const char* bad : {"", "/", "/exec", "/exec/", "/exec/a/b", "/execs/a", "exec/a", "/exec/?a",
                          "http://h/exec/a", "/../exec/a"}) {
    EXPECT_FALSE(ParseTarget(bad).has_value()) << bad;
  }
  EXPECT_FALSE(ParseTarget("/exec/" + std::string(65, 'a')).has_value());
}

TEST(UpgradeTest, SplitsListsOverLinesAndCommas) {
  EXPECT_THAT(SplitList({"a, b", "", " c ,,"}), ElementsAre("a", "b", "c"));
}

TEST(UpgradeTest, TakesTheFirstSpdyProtocolThatItKnows) {
  ASSERT_OK_AND_ASSIGN(ProtocolTraits v4,
                       NegotiateSpdy(Kind::kExec, {"v5.channel.k8s.io", "v4.channel.k8s.io"}));
  EXPECT_EQ(v4.name, "v4.channel.k8s.io");
  EXPECT_TRUE(v4.status_json && v4.resize && v4.stdin_half_close);
  ASSERT_OK_AND_ASSIGN(ProtocolTraits v3, NegotiateSpdy(Kind::kAttach, {"v3.channel.k8s.io"}));
  EXPECT_TRUE(!v3.status_json && v3.resize && v3.stdin_half_close);
  ASSERT_OK_AND_ASSIGN(ProtocolTraits v2, NegotiateSpdy(Kind::kExec, {"v2.channel.k8s.io"}));
  EXPECT_TRUE(!v2.status_json && !v2.resize && v2.stdin_half_close);
  ASSERT_OK_AND_ASSIGN(ProtocolTraits v1, NegotiateSpdy(Kind::kExec, {"channel.k8s.io"}));
  EXPECT_FALSE(v1.status_json || v1.resize || v1.stdin_half_close);
  EXPECT_OK(NegotiateSpdy(Kind::kPortForward, {"portforward.k8s.io"}));
}

TEST(UpgradeTest, RefusesSpdyClientsWithoutAKnownProtocol) {
  EXPECT_THAT(NegotiateSpdy(Kind::kExec, {}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(NegotiateSpdy(Kind::kExec, {"portforward.k8s.io"}),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(NegotiateSpdy(Kind::kPortForward, {"v4.channel.k8s.io"}),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST(UpgradeTest, KnowsTheWebSocketProtocols) {
  ASSERT_OK_AND_ASSIGN(WebSocketProtocol v5,
                       NegotiateWebSocket(Kind::kExec, {"nonsense", "v5.channel.k8s.io"}));
  EXPECT_TRUE(v5.half_close && v5.traits.stdin_half_close && v5.traits.status_json);
  EXPECT_FALSE(v5.base64);
  ASSERT_OK_AND_ASSIGN(WebSocketProtocol text,
                       NegotiateWebSocket(Kind::kExec, {"v4.base64.channel.k8s.io"}));
  EXPECT_TRUE(text.base64 && text.traits.status_json);
  EXPECT_FALSE(text.traits.stdin_half_close);
  ASSERT_OK_AND_ASSIGN(WebSocketProtocol old, NegotiateWebSocket(Kind::kAttach, {}));
  EXPECT_EQ(old.name, "");
  EXPECT_FALSE(old.base64 || old.traits.status_json);
  ASSERT_OK_AND_ASSIGN(WebSocketProtocol tunnel,
                       NegotiateWebSocket(Kind::kPortForward, {"SPDY/3.1+portforward.k8s.io"}));
  EXPECT_TRUE(tunnel.tunnel);
  EXPECT_OK(NegotiateWebSocket(Kind::kPortForward, {"v4.base64.channel.k8s.io"}));
  EXPECT_OK(NegotiateWebSocket(Kind::kPortForward, {}));
  EXPECT_THAT(NegotiateWebSocket(Kind::kPortForward, {"v5.channel.k8s.io"}),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(NegotiateWebSocket(Kind::kExec, {"SPDY/3.1+portforward.k8s.io"}),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

}  // namespace
}  // namespace crisp::streaming
