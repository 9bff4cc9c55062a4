#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "storage/registry/http_client.h"
#include "storage/registry/testing/tls_test_server.h"

namespace crisp::storage {
namespace {

// Whom the client trusts and what it shows, against a server with a private authority.
class HttpTlsTest : public ::testing::Test {
 protected:
  std::string Put(const char* name, const std::string& text) {
    const std::string path = absl::StrCat(dir_.path(), "/", name);
    EXPECT_OK(AtomicWriteFile(path, text, 0600, Durability::kNone));
    return path;
  }
  HttpReply Get(const TlsTestServer& server, HttpPeer peer) {
    HttpRequest request{.url = "https://" + server.host() + "/x", .peer = std::move(peer)};
    return client_.Send(request, nullptr, Operation(absl::Now() + absl::Seconds(10)));
  }

  TempDir dir_;
  HttpClient client_;
  const TestCertificate own_ = MakeTestCertificate();
};

TEST_F(HttpTlsTest, TrustsOnlyWhatItWasToldTo) {
  TlsTestServer server(own_, "hello");
  EXPECT_EQ(Get(server, {}).end, HttpEnd::kTlsFailed);
  EXPECT_THAT(std::string(Get(server, {}).error.message()), ::testing::HasSubstr("hosts.toml"));
  const std::string other = Put("other.crt", MakeTestCertificate().certificate_pem);
  EXPECT_EQ(Get(server, {.ca_files = {other}}).end, HttpEnd::kTlsFailed);
  EXPECT_EQ(server.served(), 0);

  const std::string right = Put("right.crt", own_.certificate_pem);
  const HttpReply reply = Get(server, {.ca_files = {other, right}});
  EXPECT_EQ(reply.end, HttpEnd::kComplete) << reply.error;
  EXPECT_EQ(reply.body, "hello");
  EXPECT_EQ(Get(server, {.skip_verify = true}).body, "hello");
  EXPECT_EQ(server.served(), 2);
}

TEST_F(HttpTlsTest, ShowsItsClientCertificate) {
  const TestCertificate client = MakeTestCertificate();
  TlsTestServer server(own_, "hello", client.certificate_pem);
  EXPECT_NE(Get(server, {.skip_verify = true}).end, HttpEnd::kComplete);
  EXPECT_EQ(server.served(), 0);

  const HttpPeer split{.skip_verify = true,
                       .client_certificate = Put("c.cert", client.certificate_pem),
                       .client_key = Put("c.key", client.key_pem)};
  EXPECT_EQ(Get(server, split).body, "hello");
  const HttpPeer together{
      .skip_verify = true,
      .client_certificate = Put("both.pem", absl::StrCat(client.certificate_pem, client.key_pem))};
  EXPECT_EQ(Get(server, together).body, "hello");
}

}  // namespace
}  // namespace crisp::storage
