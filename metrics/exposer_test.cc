#include "metrics/exposer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/unique_fd.h"

namespace crisp::metrics {
namespace {

using ::testing::HasSubstr;

UniqueFd Connect(int port) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) fd.reset();
  return fd;
}

std::string Get(int port, const std::string& path) {
  const UniqueFd fd = Connect(port);
  if (!fd) return "";
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  if (!WriteAll(fd.get(), request, "request").ok()) return "";
  auto reply = ReadFd(fd.get(), "reply");
  return reply.ok() ? *reply : "";
}

TEST(ExposerTest, ServesTheRegistry) {
  Registry registry;
  registry.Set(kImages, 3);
  ASSERT_OK_AND_ASSIGN(auto exposer, Exposer::Start("127.0.0.1:0", registry));
  ASSERT_GT(exposer->port(), 0);
  const std::string reply = Get(exposer->port(), "/metrics");
  EXPECT_THAT(reply, HasSubstr("200 OK"));
  EXPECT_THAT(reply, HasSubstr("crisp_images 3"));
  EXPECT_THAT(Get(exposer->port(), "/other"), HasSubstr("404"));
}

TEST(ExposerTest, CallbacksMayUseAnOrdinaryStack) {
  Registry registry;
  auto handle = registry.OnScrape(kNetworkReady, [] {
    volatile char large[1 << 20];
    for (size_t i = 0; i < sizeof(large); i += 512) large[i] = 1;
    return static_cast<double>(large[512] + 4);
  });
  ASSERT_OK_AND_ASSIGN(auto exposer, Exposer::Start("127.0.0.1:0", registry));
  EXPECT_THAT(Get(exposer->port(), "/metrics"), HasSubstr("crisp_network_ready 5"));
}

TEST(ExposerTest, HalfRequestsDoNotHoldItUp) {
  Registry registry;
  registry.Set(kImages, 3);
  ASSERT_OK_AND_ASSIGN(auto exposer, Exposer::Start("127.0.0.1:0", registry));
  std::vector<UniqueFd> silent;
  for (int i = 0; i < 24; ++i) {
    silent.push_back(Connect(exposer->port()));
    ASSERT_TRUE(silent.back());
    ASSERT_OK(WriteAll(silent.back().get(), "GET /metr", "half a request"));
  }
  const absl::Time begun = absl::Now();
  EXPECT_THAT(Get(exposer->port(), "/metrics"), HasSubstr("crisp_images 3"));
  EXPECT_LT(absl::Now() - begun, absl::Seconds(12));
}

TEST(ExposerTest, RefusesBadAndTakenAddresses) {
  Registry registry;
  for (const char* address :
       {"", "localhost", ":9110", "127.0.0.1:", "127.0.0.1:x", "1.2.3.4:70000"}) {
    EXPECT_THAT(Exposer::Start(address, registry), StatusIs(absl::StatusCode::kInvalidArgument))
        << address;
  }
  ASSERT_OK_AND_ASSIGN(auto first, Exposer::Start("127.0.0.1:0", registry));
  EXPECT_THAT(
      Exposer::Start("127.0.0.1:" + std::to_string(first->port()), registry),
      StatusIs(absl::StatusCode::kUnavailable,
               ::testing::AllOf(HasSubstr("127.0.0.1"), HasSubstr("Address already in use"))));
}

}  // namespace
}  // namespace crisp::metrics
