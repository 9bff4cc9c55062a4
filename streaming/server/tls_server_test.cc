// The server behind TLS, with OpenSSL as its client.

#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "base/testing/eventually.h"
#include "base/testing/manual_clock.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "streaming/server/self_signed.h"
#include "streaming/server/server.h"
#include "streaming/server/testing/test_client.h"
#include "streaming/server/testing/test_handlers.h"
#include "streaming/server/tls.h"

namespace crisp::streaming {
namespace {

using ::testing::StartsWith;

class TlsClient {
 public:
  // `pem`: the client's own certificate and key, or "".
  TlsClient(int port, const std::string& pem_file = "", int max_version = TLS1_3_VERSION)
      : client_(port), context_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free) {
    SSL_CTX_set_max_proto_version(context_.get(), max_version);
    if (!pem_file.empty()) {
      SSL_CTX_use_certificate_file(context_.get(), pem_file.c_str(), SSL_FILETYPE_PEM);
      SSL_CTX_use_PrivateKey_file(context_.get(), pem_file.c_str(), SSL_FILETYPE_PEM);
    }
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_fd(ssl_.get(), client_.fd());
    connected_ = SSL_connect(ssl_.get()) == 1;
  }

  bool connected() const { return connected_; }
  bool Send(absl::string_view bytes) {
    return SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())) > 0;
  }
  std::string Receive() {
    char bytes[16384];
    int count = SSL_read(ssl_.get(), bytes, sizeof bytes);
    return std::string(bytes, count > 0 ? static_cast<size_t>(count) : 0);
  }
  // The serial number of the server's certificate.
  std::string Serial() {
    std::unique_ptr<X509, decltype(&X509_free)> peer(SSL_get1_peer_certificate(ssl_.get()),
                                                     X509_free);
    return absl::StrCat(ASN1_INTEGER_get(X509_get_serialNumber(peer.get())));
  }
  bool NamesAddress(const char* address) {
    std::unique_ptr<X509, decltype(&X509_free)> peer(SSL_get1_peer_certificate(ssl_.get()),
                                                     X509_free);
    return X509_check_ip_asc(peer.get(), address, 0) == 1;
  }

 private:
  TestClient client_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_{nullptr, SSL_free};
  bool connected_ = false;
};

class TlsServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "crisp-tls-XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void Start(TlsOptions tls) {
    ASSERT_OK_AND_ASSIGN(server_,
                         Server::Start({.tls = std::move(tls)}, EchoHandler(log_), clock_));
  }
  std::string Path(const char* name) { return absl::StrCat(directory_, "/", name); }
  void Write(const char* name, const std::string& contents) {
    ASSERT_OK(AtomicWriteFile(Path(name), contents, 0600, Durability::kNone));
  }
  PemPair Pair() { return MakeSelfSigned({"127.0.0.1"}, clock_.Now(), absl::Hours(1)).value(); }
  TlsOptions WriteFiles() {
    PemPair pair = Pair();
    Write("cert.pem", pair.certificate);
    Write("key.pem", pair.key);
    return {.cert_file = Path("cert.pem"), .key_file = Path("key.pem")};
  }

  std::string directory_;
  HandlerLog log_;
  ManualClock clock_{absl::Now()};
  std::unique_ptr<Server> server_;
};

TEST_F(TlsServerTest, ServesWithACertificateOfItsOwn) {
  Start({.self_signed = true});
  std::string url = server_->Prepare({}).value();
  EXPECT_THAT(url, StartsWith(absl::StrCat("https://127.0.0.1:", server_->port(), "/exec/")));
  TlsClient client(server_->port());
  ASSERT_TRUE(client.connected());
  EXPECT_TRUE(client.NamesAddress("127.0.0.1"));
  ASSERT_TRUE(client.Send(
      absl::StrCat("POST ", PathOfUrl(url),
                   " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
                   "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n")));
  std::string head = client.Receive();
  EXPECT_THAT(head, StartsWith("HTTP/1.1 101 "));
  std::string frames;
  SpdyEncoder encoder;
  encoder.AppendHeaders(SpdyType::kSynStream, 1, false, {}, frames);
  std::string sent(200000, 'x');
  SpdyEncoder::AppendData(1, true, sent, frames);
  ASSERT_TRUE(client.Send(frames));
  SpdyDecoder decoder;
  SpdyFrame frame;
  std::string echoed;
  while (!frame.fin) {
    ASSERT_OK_AND_ASSIGN(bool got, decoder.Next(frame));
    if (got) {
      echoed.append(frame.data.data(), frame.data.size());
      continue;
    }
    std::string bytes = client.Receive();
    ASSERT_FALSE(bytes.empty());
    decoder.Feed(bytes);
  }
  EXPECT_EQ(echoed, sent);
}

TEST_F(TlsServerTest, ReadsItsFilesAgainWhenTheyChange) {
  TlsOptions options = WriteFiles();
  Start(options);
  std::string first = TlsClient(server_->port()).Serial();
  EXPECT_EQ(TlsClient(server_->port()).Serial(), first);
  clock_.Advance(absl::Milliseconds(1100));  // it looks once a second
  Write("cert.pem", "no certificate");
  EXPECT_EQ(TlsClient(server_->port()).Serial(), first);  // what is unusable is not used
  WriteFiles();
  EXPECT_EQ(TlsClient(server_->port()).Serial(), first) << "not a second has gone by";
  clock_.Advance(absl::Milliseconds(1100));
  EXPECT_NE(TlsClient(server_->port()).Serial(), first);
}

TEST_F(TlsServerTest, ACertificateOfItsOwnIsRenewedInTime) {
  absl::Time now = absl::Now();
  ASSERT_OK_AND_ASSIGN(auto keys, TlsKeys::Load({.self_signed = true}, {"localhost"}, now));
  TlsKeys::Context first = keys->Get(now + absl::Hours(24 * 300));
  EXPECT_EQ(first, keys->Get(now));
  TlsKeys::Context second = keys->Get(now + absl::Hours(24 * 340));
  EXPECT_NE(first, second);
  EXPECT_EQ(second, keys->Get(now + absl::Hours(24 * 341)));
}

TEST_F(TlsServerTest, RefusesUnusableFiles) {
  TlsOptions options = WriteFiles();
  auto start = [&](TlsOptions tls) {
    return Server::Start({.tls = std::move(tls)}, EchoHandler(log_)).status();
  };
  EXPECT_OK(start(options));
  EXPECT_THAT(start({.cert_file = options.cert_file}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(start({.cert_file = Path("none"), .key_file = options.key_file}),
              StatusIs(absl::StatusCode::kNotFound));
  Write("other.pem", Pair().key);
  EXPECT_THAT(start({.cert_file = options.cert_file, .key_file = Path("other.pem")}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  Write("other.pem", "nonsense");
  EXPECT_THAT(start({.cert_file = options.cert_file, .key_file = Path("other.pem")}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(TlsServerTest, AsksForTheClientsCertificate) {
  TlsOptions options = WriteFiles();
  PemPair client = Pair();
  Write("ca.pem", client.certificate);
  Write("client.pem", client.certificate + client.key);
  PemPair stranger = Pair();
  Write("stranger.pem", stranger.certificate + stranger.key);
  options.client_ca_file = Path("ca.pem");
  Start(options);
  // With TLS 1.2 the server's verdict is part of the handshake.
  EXPECT_TRUE(TlsClient(server_->port(), Path("client.pem"), TLS1_2_VERSION).connected());
  EXPECT_FALSE(TlsClient(server_->port(), "", TLS1_2_VERSION).connected());
  EXPECT_FALSE(TlsClient(server_->port(), Path("stranger.pem"), TLS1_2_VERSION).connected());
}

TEST_F(TlsServerTest, RefusesOldVersionsAndPlainText) {
  Start({.self_signed = true});
  EXPECT_FALSE(TlsClient(server_->port(), "", TLS1_1_VERSION).connected());
  TestClient plain(server_->port());
  ASSERT_TRUE(plain.Send("POST /exec/x HTTP/1.1\r\n\r\n"));
  EXPECT_EQ(plain.ReceiveHead().ok(), false);
}

TEST_F(TlsServerTest, AnAbortInTheHandshakeLeavesNothing) {
  Start({.self_signed = true});
  size_t descriptors = OpenDescriptors();
  const std::string hello("\x16\x03\x01\x00\x40\x01\x00\x00\x3c\x03\x03", 11);
  for (size_t cut = 0; cut <= hello.size(); ++cut) {
    TestClient client(server_->port());
    client.Send(hello.substr(0, cut));
  }
  // The last of them may not even be accepted yet.
  EXPECT_TRUE(Eventually([&] {
    return server_->connections() == 0 && OpenDescriptors() == descriptors;
  })) << server_->connections()
      << " connections, " << OpenDescriptors() << " descriptors, not " << descriptors;
}

}  // namespace
}  // namespace crisp::streaming
