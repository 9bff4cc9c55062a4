#include "storage/registry/http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/testing/status_matchers.h"
#include "storage/registry/http_url.h"
#include "storage/registry/testing/http_test_server.h"

namespace crisp::storage {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Request = HttpTestServer::Request;
using Response = HttpTestServer::Response;

HttpReply Get(const std::string& url, HttpRequest request = {}) {
  static HttpClient& client = *new HttpClient;
  request.url = url;
  return client.Send(request, nullptr, Operation(absl::Now() + absl::Seconds(10)));
}

TEST(HttpClientTest, ReturnsErrorRepliesAsReplies) {
  HttpTestServer server([](const Request&) {
    return Response{.status = 418, .headers = {{"Content-Type", "a/b"}}, .body = "teapot"};
  });
  const HttpReply reply = Get(server.url());
  EXPECT_EQ(reply.end, HttpEnd::kComplete);
  EXPECT_EQ(reply.status, 418);
  EXPECT_EQ(reply.body, "teapot");
  EXPECT_EQ(reply.Header("content-type"), "a/b");
}

TEST(HttpClientTest, CutsAnEndlessErrorReply) {
  HttpTestServer server(
      [](const Request&) { return Response{.status = 500, .body = std::string(1 << 20, 'x')}; });
  const HttpReply reply = Get(server.url());
  EXPECT_EQ(reply.end, HttpEnd::kComplete);
  EXPECT_EQ(reply.status, 500);
  EXPECT_EQ(reply.body.size(), 64u << 10);
}

TEST(HttpClientTest, BoundsHeaders) {
  HttpTestServer server([](const Request&) {
    Response response;
    for (int i = 0; i < 400; ++i) response.headers.emplace_back("X", std::string(1000, 'x'));
    return response;
  });
  const HttpReply reply = Get(server.url());
  EXPECT_EQ(reply.end, HttpEnd::kBroken);
  EXPECT_THAT(reply.error, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("endless headers")));
}

TEST(HttpClientTest, BoundsRedirectsAndTheirSchemes) {
  std::string location;
  HttpTestServer server([&](const Request&) {
    return Response{.status = 302, .headers = {{"Location", location}}};
  });
  location = "/again";
  EXPECT_THAT(Get(server.url()).error,
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("too many redirects")));
  EXPECT_EQ(server.requests().size(), 11u);
  for (const char* bad : {"file:///etc/passwd", "gopher://x/", "", "ftp://x/?token=t0ken"}) {
    location = bad;
    const HttpReply reply = Get(server.url() + "/?q=s3cret");
    EXPECT_THAT(reply.error,
                StatusIs(absl::StatusCode::kUnavailable, HasSubstr("no http or https URL")));
    EXPECT_THAT(std::string(reply.error.message()), Not(HasSubstr("s3cret")));
  }
}

TEST(HttpClientTest, KeepsPrivateHeadersWithinTheOrigin) {
  HttpTestServer other([](const Request&) { return Response{}; });
  HttpTestServer server([&](const Request& request) {
    const std::string to = request.path == "/in" ? "/same" : other.url() + "/x";
    return Response{.status = 307, .headers = {{"Location", to}}};
  });
  (void)Get(server.url() + "/in",
            {.headers = {{"Public", "1"}}, .private_headers = {{"Private", "2"}}});
  EXPECT_EQ(server.requests()[1].Header("private"), "2");
  EXPECT_EQ(other.requests()[0].Header("private"), "");
  EXPECT_EQ(other.requests()[0].Header("public"), "1");
}

TEST(HttpClientTest, TellsWhyThereWasNoReply) {
  EXPECT_EQ(Get("http://127.0.0.1:1/?secret=1").end, HttpEnd::kNotReached);
  EXPECT_THAT(std::string(Get("http://u:pw@127.0.0.1:1/p?secret=1").error.message()),
              ::testing::AllOf(HasSubstr("http://127.0.0.1:1/p: "), Not(HasSubstr("secret"))));
  HttpTestServer server([](const Request&) { return Response{.body = "12345", .cut_after = 2}; });
  EXPECT_EQ(Get(server.url()).end, HttpEnd::kBroken);
  EXPECT_EQ(Get("https://" + server.host()).end, HttpEnd::kTlsFailed);
  EXPECT_EQ(Get("ftp://" + server.host()).end, HttpEnd::kBroken);
  EXPECT_EQ(Get(server.url(), {.peer = {.ca_files = {"/nonexistent/ca.crt"}}}).end,
            HttpEnd::kTlsFailed);
}

TEST(HttpClientTest, ATrickleIsAStall) {
  HttpTestServer server([](const Request&) {
    return Response{.body = std::string(5000, 'x'), .cut_after = 500, .hold = true};
  });
  const absl::Time start = absl::Now();
  const HttpReply reply = Get(server.url(), {.stall_timeout = absl::Milliseconds(150)});
  EXPECT_EQ(reply.end, HttpEnd::kStalled);
  EXPECT_THAT(reply.error, StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("stalled")));
  EXPECT_LT(absl::Now() - start, absl::Seconds(1));
}

TEST(HttpUrlTest, ScrubsQueriesAndUsers) {
  EXPECT_EQ(ScrubUrls("get https://u:p@h:1/a/b?x=1#f, \"http://h?q\" and h?"),
            "get https://h:1/a/b \"http://h\" and h?");
  EXPECT_EQ(ScrubUrls("https://u:p@w@h/x@y?z"), "https://h/x@y");
  EXPECT_EQ(ScrubUrls("plain"), "plain");
  EXPECT_EQ(ScrubUrls("://"), "://");
}

TEST(HttpUrlTest, OriginsSpellOutPorts) {
  EXPECT_EQ(UrlOrigin("https://H.example/x"), "https://h.example:443");
  EXPECT_EQ(UrlOrigin("http://h.example:80/x?y"), "http://h.example:80");
  EXPECT_EQ(UrlOrigin("file:///etc"), "");
  EXPECT_EQ(UrlHost("http://[::1]:5000/x"), "[::1]:5000");
}

TEST(HttpUrlTest, ResolvesLocations) {
  EXPECT_EQ(ResolveUrl("http://h/a/b?c", "/d?e=%2F"), "http://h/d?e=%2F");
  EXPECT_EQ(ResolveUrl("http://h/a/b", "c"), "http://h/a/c");
  EXPECT_EQ(ResolveUrl("https://h/a", "//o/x"), "https://o/x");
  EXPECT_EQ(ResolveUrl("https://h/a", "file:///x"), "");
  EXPECT_EQ(ResolveUrl("https://h/a", ""), "");
}

}  // namespace
}  // namespace crisp::storage
