#ifndef CRISP_STORAGE_REGISTRY_HTTP_CLIENT_H_
#define CRISP_STORAGE_REGISTRY_HTTP_CLIENT_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/operation.h"

namespace crisp::storage {

// How to reach and trust one host.
struct HttpPeer {
  bool skip_verify = false;
  std::vector<std::string> ca_files;  // trusted beside the system's authorities
  std::string client_certificate;     // PEM file; only ever shown to the request's first origin
  std::string client_key;
  absl::Duration dial_timeout = absl::Seconds(30);
};

struct HttpRequest {
  std::string url;
  // Headers. A redirect to another scheme, host or port goes without `private_headers`
  // (Authorization, an operator's extra headers): these are sent to the URL's own origin only.
  std::vector<std::pair<std::string, std::string>> headers;
  std::vector<std::pair<std::string, std::string>> private_headers;
  std::string form;  // when not empty: a POST of application/x-www-form-urlencoded
  HttpPeer peer;
  absl::Duration stall_timeout = absl::Minutes(1);
  // true if a redirect may leave https: only for content that is verified
  bool follow_to_plain_http = false;
};

// The end of an exchange.
enum class HttpEnd {
  kComplete,    // a whole reply, of any status
  kNotReached,  // no connection: name, route, refusal, dial timeout
  kTlsFailed,   // connected, but no TLS session, or not with the wanted host
  kBroken,      // the connection or the protocol broke in the middle
  kStalled,     // fewer than a kilobyte within stall_timeout
  kCancelled,   // `operation` ended
  kSinkFailed,  // the sink returned an error
};

struct HttpReply {
  HttpEnd end = HttpEnd::kComplete;
  absl::Status error;  // set unless kComplete; for kSinkFailed the sink's own
  int status = 0;      // of the last hop; 0 when no header arrived
  // Headers by lower-case name. Only those that a registry client needs (http_client.cc).
  std::multimap<std::string, std::string> headers;
  std::string body;  // of replies that did not go to the sink, at most 64 KiB

  // The first value of a header, or "".
  absl::string_view Header(absl::string_view name) const;
  // True if the server has encoded the body. Requests always ask for it unencoded.
  bool IsEncoded() const;
};

// Gets the body of a 200 or 206 in order, after the headers are complete. An error ends the
// exchange.
using HttpSink = std::function<absl::Status(const HttpReply& head, absl::string_view bytes)>;

// HTTP/1.1 over libcurl. Each exchange has a connection of its own while it lasts, so parallel
// transfers do not share one TCP stream. Idle connections are kept for the next exchange. Proxies
// come from the environment (http_proxy, HTTPS_PROXY, NO_PROXY, … in either case), and loopback
// never uses one. Only http and https are ever spoken. Thread-safe.
class HttpClient {
 public:
  HttpClient();
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Does one exchange on this thread, following at most 10 redirects. `sink` runs on this thread
  // and may block; its time does not count as a stall. A cancelled exchange returns within 50 ms
  // (unless the sink blocks). Error texts carry the scheme, host and path of the URL, never its
  // query.
  HttpReply Send(const HttpRequest& request, const HttpSink& sink, const Operation& operation);

 private:
  struct Idle;
  std::unique_ptr<Idle> Take();
  void Give(std::unique_ptr<Idle> idle);

  absl::Mutex mutex_;
  std::vector<std::unique_ptr<Idle>> idle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp::storage

#endif  // CRISP_STORAGE_REGISTRY_HTTP_CLIENT_H_
