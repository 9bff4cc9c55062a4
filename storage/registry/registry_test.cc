#include "storage/registry/registry.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "base/testing/cancelled_wait.h"
#include "storage/registry/testing/registry_test_util.h"

namespace crisp::storage {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Request = HttpTestServer::Request;
using Response = HttpTestServer::Response;
using Code = absl::StatusCode;

class RegistryTest : public RegistryFixture {};

TEST_F(RegistryTest, ResolvesThroughAnIndex) {
  HttpTestServer server([&](const Request& request) { return Serve(image_, request); });
  auto session = Open(server.host() + "/team/app:1");
  ASSERT_OK_AND_ASSIGN(const ResolvedImage image, session->Resolve(Soon()));
  EXPECT_EQ(image.target.digest, Sha256Digest(image_.index));
  EXPECT_EQ(image.target_bytes, image_.index);
  EXPECT_EQ(image.target.media_type, kOciIndex);
  EXPECT_EQ(image.manifest.digest, Sha256Digest(image_.manifest));
  EXPECT_EQ(image.manifest_bytes, image_.manifest);
  EXPECT_EQ(image.config_bytes, image_.config);
  EXPECT_EQ(image.image_config.user, "7");
  ASSERT_EQ(image.layers.size(), 1u);
  EXPECT_EQ(image.layers[0], image_.layer_descriptor);
}

TEST_F(RegistryTest, ResolvesADigestWithoutAnIndex) {
  HttpTestServer server([&](const Request& request) { return Serve(image_, request); });
  auto session = Open(absl::StrCat(server.host(), "/team/app:x@", Sha256Digest(image_.manifest)));
  ASSERT_OK_AND_ASSIGN(const ResolvedImage image, session->Resolve(Soon()));
  EXPECT_EQ(image.target, image.manifest);
}

TEST_F(RegistryTest, KeepsConnectionsBetweenRequests) {
  HttpTestServer server([&](const Request& request) { return Serve(image_, request); });
  Configure(server.host(), absl::StrCat("server = \"", server.url(), "\""));
  auto session = Open(server.host() + "/team/app:1");
  ASSERT_OK(session->Resolve(Soon()));
  EXPECT_EQ(server.requests().size(), 3u);
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(RegistryTest, SaysNotFoundWithTheRegistrysWords) {
  HttpTestServer server([&](const Request& request) { return Serve(image_, request); });
  auto session = Open(server.host() + "/team/app:absent");
  EXPECT_THAT(session->Resolve(Soon()),
              StatusIs(Code::kNotFound, HasSubstr("MANIFEST_UNKNOWN: no such tag")));
}

TEST_F(RegistryTest, RefusesAManifestOfAnotherDigest) {
  HttpTestServer server([&](const Request& request) {
    Response response = Serve(image_, request);
    response.body += " ";
    return response;
  });
  auto session = Open(absl::StrCat(server.host(), "/team/app@", Sha256Digest(image_.manifest)));
  EXPECT_THAT(session->Resolve(Soon()), StatusIs(Code::kDataLoss));
}

TEST_F(RegistryTest, RefusesADigestHeaderThatLies) {
  HttpTestServer server([&](const Request& request) {
    Response response = Serve(image_, request);
    response.headers.emplace_back("Docker-Content-Digest", Sha256Digest("other"));
    return response;
  });
  auto session = Open(server.host() + "/team/app:1");
  EXPECT_THAT(session->Resolve(Soon()), StatusIs(Code::kDataLoss));
}

TEST_F(RegistryTest, RefusesAContentTypeThatDisagrees) {
  HttpTestServer server([&](const Request& request) {
    Response response = Serve(image_, request);
    response.headers = {{"Content-Type", kDockerManifest}};
    return response;
  });
  auto session = Open(server.host() + "/team/app:1");
  EXPECT_THAT(session->Resolve(Soon()), StatusIs(Code::kInvalidArgument, HasSubstr("announced")));
}

TEST_F(RegistryTest, RefusesAnOversizeManifest) {
  HttpTestServer server(
      [&](const Request&) { return Response{.body = std::string(kMaxManifestBytes + 1, ' ')}; });
  auto session = Open(server.host() + "/team/app:1");
  EXPECT_THAT(session->Resolve(Soon()), StatusIs(Code::kInvalidArgument, HasSubstr("larger than")));
}

TEST_F(RegistryTest, BoundsNestedIndexes) {
  // Each index names the next one, which is how an endless chain would look from here.
  std::vector<std::string> chain = {image_.manifest};
  for (int i = 0; i < 6; ++i) {
    const char* type = i == 0 ? kOciManifest : kOciIndex;
    chain.push_back(Json{{"schemaVersion", 2},
                         {"mediaType", kOciIndex},
                         {"manifests", Json::array({FakeImage::Describe(type, chain.back())})}}
                        .dump());
  }
  HttpTestServer server([&](const Request& request) {
    for (const std::string& document : chain) {
      if (absl::EndsWith(request.path, Sha256Digest(document))) return Response{.body = document};
    }
    return Serve(image_, request);
  });
  const auto resolve = [&](const std::string& document) {
    return Open(absl::StrCat(server.host(), "/team/app@", Sha256Digest(document)))->Resolve(Soon());
  };
  EXPECT_OK(resolve(chain[kMaxIndexDepth]));
  EXPECT_THAT(resolve(chain[kMaxIndexDepth + 1]),
              StatusIs(Code::kInvalidArgument, HasSubstr("nested deeper")));
}

TEST_F(RegistryTest, AsksMirrorsInTheFilesOrderAndSaysForWhom) {
  HttpTestServer empty([](const Request&) { return Response{.status = 404}; });
  HttpTestServer full([&](const Request& request) { return Serve(image_, request); });
  HttpTestServer upstream([&](const Request& request) { return Serve(image_, request); });
  Configure("r.example", absl::StrCat("server = \"", upstream.url(), "\"\n[host.\"", empty.url(),
                                      "\"]\n[host.\"", full.url(), "\"]\n"));
  auto session = Open("r.example/team/app:1");
  ASSERT_OK(session->Resolve(Soon()));
  EXPECT_EQ(upstream.requests().size(), 0u);
  EXPECT_EQ(empty.requests()[0].query, "ns=r.example");
  EXPECT_EQ(full.requests()[0].query, "ns=r.example");
  EXPECT_EQ(full.requests()[0].path, "/v2/team/app/manifests/1");
}

TEST_F(RegistryTest, HonoursCapabilitiesAndOverriddenPaths) {
  HttpTestServer pull_only([&](const Request& request) {
    Request inner = request;
    inner.path.replace(0, 7, "/v2");  // "/mirror" + …
    return Serve(image_, inner);
  });
  HttpTestServer upstream([&](const Request& request) { return Serve(image_, request); });
  Configure("r.example",
            absl::StrCat("server = \"", upstream.url(), "\"\n[host.\"", pull_only.url(),
                         "/mirror\"]\ncapabilities = [\"pull\"]\noverride_path = true\n"));
  auto session = Open("r.example/team/app:1");
  ASSERT_OK(session->Resolve(Soon()));
  ASSERT_EQ(upstream.requests().size(), 1u);
  EXPECT_EQ(upstream.requests()[0].path, "/v2/team/app/manifests/1");
  ASSERT_EQ(pull_only.requests().size(), 2u);
  EXPECT_THAT(pull_only.requests()[0].path, StartsWith("/mirror/team/app/manifests/sha256:"));
}

TEST_F(RegistryTest, ListsEveryHostThatFailed) {
  Configure("r.example", "server = \"http://127.0.0.1:1\"\n[host.\"http://127.0.0.1:2\"]\n");
  auto session = Open("r.example/team/app:1");
  EXPECT_THAT(
      session->Resolve(Soon()),
      StatusIs(Code::kUnavailable, AllOf(StartsWith("RegistryUnavailable"),
                                         HasSubstr("127.0.0.1:1: "), HasSubstr("127.0.0.1:2: "))));
}

TEST_F(RegistryTest, FallsBackToPlainHttpOnLoopbackOnly) {
  HttpTestServer server([&](const Request& request) { return Serve(image_, request); });
  EXPECT_OK(Open(server.host() + "/team/app:plain")->Resolve(Soon()));
  Configure("r.example", absl::StrCat("server = \"https://", server.host(), "\""));
  EXPECT_THAT(Open("r.example/team/app:plain")->Resolve(Soon()),
              StatusIs(Code::kUnavailable, StartsWith("RegistryUnavailable")));
}

TEST_F(RegistryTest, RetriesAHostWithAHiccup) {
  std::atomic<int> calls = 0;
  HttpTestServer server([&](const Request& request) {
    if (calls++ == 0) return Response{.status = 502};
    return Serve(image_, request);
  });
  EXPECT_OK(Open(server.host() + "/team/app:1")->Resolve(Soon()));
}

TEST_F(RegistryTest, WaitsAsLongAsRetryAfterSays) {
  std::atomic<int> calls = 0;
  HttpTestServer server([&](const Request& request) {
    if (calls++ == 0) return Response{.status = 429, .headers = {{"Retry-After", "1"}}};
    return Serve(image_, request);
  });
  const absl::Time start = absl::Now();
  EXPECT_OK(Open(server.host() + "/team/app:1")->Resolve(Soon()));
  EXPECT_GE(absl::Now() - start, absl::Seconds(1));
}

TEST_F(RegistryTest, GivesUpOnAThrottleThatIsTooLongOrEndless) {
  std::string retry_after = "3600";
  HttpTestServer server([&](const Request&) {
    return Response{.status = 429, .headers = {{"Retry-After", retry_after}}};
  });
  const std::string reference = server.host() + "/team/app:1";
  EXPECT_THAT(Open(reference)->Resolve(Soon()),
              StatusIs(Code::kUnavailable, HasSubstr("HTTP 429")));
  EXPECT_EQ(server.requests().size(), 1u);
  retry_after = "0";
  EXPECT_THAT(Open(reference)->Resolve(Soon()), StatusIs(Code::kUnavailable));
  EXPECT_EQ(server.requests().size(), 5u);  // the first try and three waits
}

TEST_F(RegistryTest, ADeadlineEndsASilentResolvePromptly) {
  HttpTestServer server(
      [](const Request&) { return Response{.body = "x", .cut_after = 0, .hold = true}; });
  Configure(server.host(), absl::StrCat("server = \"", server.url(), "\""));
  auto session = Open(server.host() + "/team/app:1");
  const absl::Time deadline = absl::Now() + absl::Milliseconds(200);
  EXPECT_THAT(session->Resolve(Operation(deadline)), StatusIs(Code::kDeadlineExceeded));
  EXPECT_GE(absl::Now(), deadline);
  EXPECT_LT(absl::Now() - deadline, absl::Milliseconds(50));
}

TEST_F(RegistryTest, ACancellationEndsTheWaitForAThrottle) {
  HttpTestServer server([](const Request&) {
    return Response{.status = 429, .headers = {{"Retry-After", "200"}}};
  });
  auto session = Open(server.host() + "/team/app:1");
  EXPECT_THAT(CancelledWhileAsleep([&](const Operation& operation) {
                return session->Resolve(operation);
              }).status(),
              StatusIs(Code::kCancelled));
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST_F(RegistryTest, ACancellationEndsASilentResolve) {
  HttpTestServer server(
      [](const Request&) { return Response{.body = "x", .cut_after = 0, .hold = true}; });
  Configure(server.host(), absl::StrCat("server = \"", server.url(), "\""));
  auto session = Open(server.host() + "/team/app:1");
  EXPECT_THAT(CancelledWhileAsleep([&](const Operation& operation) {
                return session->Resolve(operation);
              }).status(),
              StatusIs(Code::kCancelled));
}

TEST_F(RegistryTest, PassesOnABadHostsFile) {
  Configure("r.example", "server = ");
  ASSERT_OK_AND_ASSIGN(auto registry, Registry::Create({.config_dirs = {certs_.path()}}));
  EXPECT_THAT(registry->Open(*ImageReference::Parse("r.example/a"), {}),
              StatusIs(Code::kInvalidArgument, HasSubstr("hosts.toml:1")));
}

TEST_F(RegistryTest, SaysWhatItAskedForAndWhenToComeBack) {
  HttpTestServer server([&](const Request& request) {
    if (absl::StrContains(request.path, "/late")) {
      return Response{.status = 429, .headers = {{"Retry-After", "7200"}}};
    }
    if (absl::StrContains(request.path, "/packed")) {
      return Response{.headers = {{"Content-Encoding", "gzip"}}, .body = "\x1f\x8b"};
    }
    return Serve(image_, request);
  });
  const std::string app = server.host() + "/team/app";
  EXPECT_THAT(Open(app + ":nope")->Resolve(Soon()),
              StatusIs(Code::kNotFound, HasSubstr(app + ":nope")));
  EXPECT_THAT(Open(app + ":late")->Resolve(Soon()),
              StatusIs(Code::kUnavailable, HasSubstr("come back in 2h")));
  EXPECT_THAT(Open(app + ":packed")->Resolve(Soon()),
              StatusIs(Code::kUnavailable, HasSubstr("Content-Encoding: gzip")));
}

// The commonest mistake of a first day.
TEST_F(RegistryTest, SaysThatAServerSpeaksNoTls) {
  const UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener.get(), 4), 0);
  ASSERT_EQ(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  std::thread server([&] {
    constexpr absl::string_view kReply = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
    while (true) {
      const UniqueFd peer(accept(listener.get(), nullptr, nullptr));
      if (!peer) return;
      char hello[4096];
      if (read(peer.get(), hello, sizeof(hello)) > 0)
        (void)!write(peer.get(), kReply.data(), kReply.size());
    }
  });
  Configure("r.example",
            absl::StrCat("server = \"https://127.0.0.1:", ntohs(address.sin_port), "\""));
  EXPECT_THAT(
      Open("r.example/team/app:plain")->Resolve(Soon()),
      StatusIs(Code::kUnavailable, AllOf(HasSubstr("speaks no TLS"), HasSubstr("hosts.toml"))));
  shutdown(listener.get(), SHUT_RDWR);
  server.join();
}

}  // namespace
}  // namespace crisp::storage
