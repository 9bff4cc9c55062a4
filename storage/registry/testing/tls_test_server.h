#ifndef CRISP_STORAGE_REGISTRY_TESTING_TLS_TEST_SERVER_H_
#define CRISP_STORAGE_REGISTRY_TESTING_TLS_TEST_SERVER_H_

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "base/unique_fd.h"

struct ssl_ctx_st;

namespace crisp::storage {

// A self-signed certificate for 127.0.0.1 and its key, made on the spot.
struct TestCertificate {
  std::string certificate_pem;
  std::string key_pem;
};
TestCertificate MakeTestCertificate();

// For tests: answers every HTTPS request on a loopback port with 200 and `body`.
class TlsTestServer {
 public:
  // With `client_authority` (PEM), it serves only clients with a certificate that this authority
  // signed.
  TlsTestServer(const TestCertificate& own,
                std::string body,
                const std::string& client_authority = "");
  ~TlsTestServer();

  std::string host() const;  // "127.0.0.1:<port>"
  int served() const { return served_; }

 private:
  void Loop();
  void ServeOne(int fd);

  struct Free {
    void operator()(ssl_ctx_st* context) const;
  };
  std::unique_ptr<ssl_ctx_st, Free> context_;
  std::string body_;
  UniqueFd listener_;
  int port_ = 0;
  std::atomic<bool> stop_ = false;
  std::atomic<int> served_ = 0;
  std::thread thread_;
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_REGISTRY_TESTING_TLS_TEST_SERVER_H_
