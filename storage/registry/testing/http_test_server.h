#ifndef CRISP_STORAGE_REGISTRY_TESTING_HTTP_TEST_SERVER_H_
#define CRISP_STORAGE_REGISTRY_TESTING_HTTP_TEST_SERVER_H_

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"

namespace crisp::storage {

// For tests: an HTTP/1.1 server on a loopback port that does exactly what its handler scripts, also
// things that no decent server does.
class HttpTestServer {
 public:
  struct Request {
    std::string method;
    std::string path;  // without the query
    std::string query;
    std::map<std::string, std::string> headers;  // lower-case names
    std::string body;

    std::string Header(const std::string& name) const;
  };
  struct Response {
    int status = 200;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;
    std::optional<size_t> cut_after;  // body bytes after which the connection is closed
    bool hold = false;                // keep it open and silent there (or after the headers)
    bool announce_length = true;      // else the end of the connection ends the body
    std::string content_length;       // announce this instead
  };
  using Handler = std::function<Response(const Request&)>;

  // `handler` runs on the connections' threads.
  explicit HttpTestServer(Handler handler);
  ~HttpTestServer();

  std::string host() const;  // "127.0.0.1:<port>"
  std::string url() const { return "http://" + host(); }
  std::vector<Request> requests() const;
  // The number of requests with this path.
  int CountOf(absl::string_view path) const;
  int connections() const { return connections_; }

 private:
  void AcceptLoop();
  void Serve(int fd);
  // False if the connection is over.
  bool ServeOne(int fd, std::string* buffer);
  bool Send(int fd, const Response& response);
  void HoldOpen(int fd);

  Handler handler_;
  UniqueFd listener_;
  int port_ = 0;
  std::atomic<bool> stop_ = false;
  std::atomic<int> connections_ = 0;
  std::thread acceptor_;
  mutable absl::Mutex mutex_;
  std::vector<Request> requests_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_REGISTRY_TESTING_HTTP_TEST_SERVER_H_
