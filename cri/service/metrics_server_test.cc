#include "cri/service/metrics_server.h"

#include "absl/strings/str_cat.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"

namespace crisp::cri {
namespace {

TEST(MetricsServerTest, ATakenAddressIsTriedAgainUntilItIsFree) {
  metrics::Registry registry;
  ASSERT_OK_AND_ASSIGN(auto other, metrics::Exposer::Start("127.0.0.1:0", registry));
  const int port = other->port();
  ASSERT_OK_AND_ASSIGN(auto server, MetricsServer::Start(absl::StrCat("127.0.0.1:", port), registry,
                                                         absl::Milliseconds(5)));
  EXPECT_EQ(server->port(), 0);
  other.reset();
  EXPECT_TRUE(Eventually([&] { return server->port() != 0; }));
  EXPECT_EQ(server->port(), port);
}

TEST(MetricsServerTest, EndsWhileTheAddressIsTaken) {
  metrics::Registry registry;
  ASSERT_OK_AND_ASSIGN(auto other, metrics::Exposer::Start("127.0.0.1:0", registry));
  ASSERT_OK(
      MetricsServer::Start(absl::StrCat("127.0.0.1:", other->port()), registry, absl::Hours(1)));
}

TEST(MetricsServerTest, AnAddressOfAnotherFormIsRefused) {
  metrics::Registry registry;
  EXPECT_THAT(MetricsServer::Start("9110", registry), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace crisp::cri
