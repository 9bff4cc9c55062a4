#include "storage/registry/testing/tls_test_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <csignal>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace crisp::storage {
namespace {

constexpr int kPollMilliseconds = 20;
constexpr long kValidSeconds = 3600;

template <typename T, void (*kFree)(T*)>
struct Freer {
  void operator()(T* object) const { kFree(object); }
};
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY, EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freer<X509, X509_free>>;
using Bio = std::unique_ptr<BIO, Freer<BIO, BIO_free_all>>;

void Must(bool done) {
  if (!done) std::abort();
}

std::string Drain(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

Bio Source(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

void AddExtension(X509* certificate, int id, const char* value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, id, value);
  Must(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

}  // namespace

TestCertificate MakeTestCertificate() {
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate(X509_new());
  Must(key != nullptr && certificate != nullptr);
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), kValidSeconds);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  AddExtension(certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
  AddExtension(certificate.get(), NID_subject_alt_name, "IP:127.0.0.1");
  Must(X509_sign(certificate.get(), key.get(), EVP_sha256()) != 0);

  const Bio certificate_pem(BIO_new(BIO_s_mem()));
  const Bio key_pem(BIO_new(BIO_s_mem()));
  Must(PEM_write_bio_X509(certificate_pem.get(), certificate.get()) == 1);
  Must(PEM_write_bio_PrivateKey(key_pem.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) ==
       1);
  return {Drain(certificate_pem.get()), Drain(key_pem.get())};
}

void TlsTestServer::Free::operator()(ssl_ctx_st* context) const { SSL_CTX_free(context); }

TlsTestServer::TlsTestServer(const TestCertificate& own,
                             std::string body,
                             const std::string& client_authority)
    : context_(SSL_CTX_new(TLS_server_method())), body_(std::move(body)) {
  const Certificate certificate(
      PEM_read_bio_X509(Source(own.certificate_pem).get(), nullptr, nullptr, nullptr));
  const Key key(PEM_read_bio_PrivateKey(Source(own.key_pem).get(), nullptr, nullptr, nullptr));
  Must(SSL_CTX_use_certificate(context_.get(), certificate.get()) == 1);
  Must(SSL_CTX_use_PrivateKey(context_.get(), key.get()) == 1);
  if (!client_authority.empty()) {
    const Certificate authority(
        PEM_read_bio_X509(Source(client_authority).get(), nullptr, nullptr, nullptr));
    Must(X509_STORE_add_cert(SSL_CTX_get_cert_store(context_.get()), authority.get()) == 1);
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  Must(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
  Must(::listen(listener_.get(), 16) == 0);
  Must(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
  port_ = ntohs(address.sin_port);
  // OpenSSL writes with write(2): a client that hangs up must not end the test.
  (void)std::signal(SIGPIPE, SIG_IGN);
  thread_ = std::thread([this] { Loop(); });
}

TlsTestServer::~TlsTestServer() {
  stop_ = true;
  thread_.join();
}

std::string TlsTestServer::host() const { return absl::StrCat("127.0.0.1:", port_); }

void TlsTestServer::Loop() {
  while (!stop_) {
    pollfd wait = {.fd = listener_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&wait, 1, kPollMilliseconds) <= 0) continue;
    const UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (connection.valid()) ServeOne(connection.get());
  }
}

void TlsTestServer::ServeOne(int fd) {
  const timeval limit = {.tv_sec = 2, .tv_usec = 0};
  (void)::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  const std::unique_ptr<SSL, Freer<SSL, SSL_free>> session(SSL_new(context_.get()));
  SSL_set_fd(session.get(), fd);
  char buffer[8192];
  if (SSL_accept(session.get()) != 1 || SSL_read(session.get(), buffer, sizeof(buffer)) <= 0)
    return;
  const std::string reply = absl::StrCat(
      "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ", body_.size(), "\r\n\r\n", body_);
  if (SSL_write(session.get(), reply.data(), static_cast<int>(reply.size())) > 0) ++served_;
  SSL_shutdown(session.get());
}

}  // namespace crisp::storage
