#include "storage/registry/http_client.h"

#include <curl/curl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>

#include "absl/base/call_once.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "storage/registry/hosts_config.h"
#include "storage/registry/http_url.h"

namespace crisp::storage {
namespace {

constexpr int kMaxRedirects = 10;
constexpr size_t kMaxReplyBody = 64u << 10;
constexpr size_t kMaxHeaderBytes = 256u << 10;
constexpr size_t kMaxHeaderValues = 32;
constexpr long kReceiveBuffer = 256L << 10;
constexpr size_t kMaxCaBytes = 4u << 20;
constexpr size_t kMaxIdle = 16;
// A peer that sends less than this within the stall timeout is as good as silent.
constexpr uint64_t kStallFloorBytes = 1024;
constexpr char kSystemAuthorities[] = "/etc/ssl/certs";

constexpr absl::string_view kKeptHeaders[] = {
    "www-authenticate", "location",    "content-type",          "content-length",
    "content-range",    "retry-after", "docker-content-digest", "content-encoding"};

void InitialiseCurl() {
  static absl::once_flag once;
  absl::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

HttpEnd EndOf(CURLcode code) {
  switch (code) {
    case CURLE_OK:
      return HttpEnd::kComplete;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:  // only the connect phase has a time limit of curl's
    case CURLE_PROXY:
      return HttpEnd::kNotReached;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
      return HttpEnd::kTlsFailed;
    default:
      return HttpEnd::kBroken;
  }
}

curl_socket_t OpenSocket(void*, curlsocktype, struct curl_sockaddr* address) {
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, FreeList>;

void Append(HeaderList* list, const std::string& line) {
  curl_slist* grown = curl_slist_append(list->get(), line.c_str());
  if (grown == nullptr) return;
  (void)list->release();
  list->reset(grown);
}

// One request to one URL without redirects.
class Hop {
 public:
  Hop(CURLM* multi, CURL* easy, const HttpRequest& request, const HttpSink& sink)
      : multi_(multi), easy_(easy), request_(request), sink_(sink) {}

  HttpReply Run(const std::string& url, bool own_origin, const Operation& operation);

 private:
  static size_t OnHeader(char* data, size_t size, size_t count, void* self);
  static size_t OnBody(char* data, size_t size, size_t count, void* self);
  size_t Header(absl::string_view line);
  size_t Body(absl::string_view bytes);

  absl::Status Configure(const std::string& url, bool own_origin);
  absl::Status ConfigureTrust(bool own_origin);
  void ConfigureProxy(const std::string& url);
  void Drive(const Operation& operation);
  // Ends the hop when the peer stays below the floor rate.
  bool Stalled();
  void Progress(uint64_t bytes);
  void Fail(HttpEnd end, absl::Status error);
  void Conclude(CURLcode code);

  CURLM* multi_;
  CURL* easy_;
  const HttpRequest& request_;
  const HttpSink& sink_;
  HeaderList headers_;
  std::string authorities_;
  std::string where_;  // the URL without its query, for messages
  char error_text_[CURL_ERROR_SIZE] = {};
  HttpReply reply_;
  bool failed_ = false;
  bool body_cut_ = false;
  size_t header_bytes_ = 0;
  absl::Time window_start_;
  uint64_t window_bytes_ = 0;
};

void Hop::Fail(HttpEnd end, absl::Status error) {
  if (failed_) return;
  failed_ = true;
  reply_.end = end;
  reply_.error = std::move(error);
}

size_t Hop::OnHeader(char* data, size_t size, size_t count, void* self) {
  return static_cast<Hop*>(self)->Header(absl::string_view(data, size * count));
}

size_t Hop::OnBody(char* data, size_t size, size_t count, void* self) {
  return static_cast<Hop*>(self)->Body(absl::string_view(data, size * count));
}

// Returns what curl wants to hear: the size for success, anything else to stop.
size_t Hop::Header(absl::string_view line) {
  Progress(line.size());
  header_bytes_ += line.size();
  if (header_bytes_ > kMaxHeaderBytes) {
    Fail(HttpEnd::kBroken, absl::UnavailableError(absl::StrCat(where_, ": endless headers")));
    return line.size() + 1;
  }
  if (absl::StartsWith(line, "HTTP/")) {
    reply_.headers.clear();  // of an interim reply
    return line.size();
  }
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos) return line.size();
  std::string name = absl::AsciiStrToLower(line.substr(0, colon));
  if (std::find(std::begin(kKeptHeaders), std::end(kKeptHeaders), name) != std::end(kKeptHeaders) &&
      reply_.headers.size() < kMaxHeaderValues) {
    reply_.headers.emplace(std::move(name),
                           std::string(absl::StripAsciiWhitespace(line.substr(colon + 1))));
  }
  return line.size();
}

size_t Hop::Body(absl::string_view bytes) {
  Progress(bytes.size());
  long status = 0;
  curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
  reply_.status = static_cast<int>(status);
  if (sink_ && (status == 200 || status == 206)) {
    const absl::Time before = absl::Now();
    absl::Status taken = sink_(reply_, bytes);
    window_start_ += absl::Now() - before;
    if (taken.ok()) return bytes.size();
    Fail(HttpEnd::kSinkFailed, std::move(taken));
    return bytes.size() + 1;
  }
  const size_t room = kMaxReplyBody - std::min(kMaxReplyBody, reply_.body.size());
  absl::StrAppend(&reply_.body, bytes.substr(0, room));
  body_cut_ = bytes.size() > room;
  return body_cut_ ? bytes.size() + 1 : bytes.size();
}

void Hop::Progress(uint64_t bytes) {
  window_bytes_ += bytes;
  if (window_bytes_ < kStallFloorBytes) return;
  window_bytes_ = 0;
  window_start_ = absl::Now();
}

bool Hop::Stalled() {
  if (absl::Now() - window_start_ < request_.stall_timeout) return false;
  Fail(HttpEnd::kStalled,
       absl::DeadlineExceededError(absl::StrCat(where_, ": stalled, ", window_bytes_, " bytes in ",
                                                absl::FormatDuration(request_.stall_timeout))));
  return true;
}

absl::Status Hop::ConfigureTrust(bool own_origin) {
  const HttpPeer& peer = request_.peer;
  curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYPEER, peer.skip_verify ? 0L : 1L);
  curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYHOST, peer.skip_verify ? 0L : 2L);
  curl_easy_setopt(easy_, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
  for (const std::string& file : peer.ca_files) {
    absl::StatusOr<std::string> pem = ReadFile(file, kMaxCaBytes);
    if (!pem.ok()) return pem.status();
    absl::StrAppend(&authorities_, *pem, "\n");
  }
  if (!authorities_.empty()) {
    // The blob takes the place of the system's bundle file; its directory form stays in force.
    curl_blob blob = {authorities_.data(), authorities_.size(), CURL_BLOB_NOCOPY};
    curl_easy_setopt(easy_, CURLOPT_CAINFO_BLOB, &blob);
    curl_easy_setopt(easy_, CURLOPT_CAPATH, kSystemAuthorities);
  }
  if (own_origin && !peer.client_certificate.empty()) {
    curl_easy_setopt(easy_, CURLOPT_SSLCERT, peer.client_certificate.c_str());
    curl_easy_setopt(easy_, CURLOPT_SSLKEY,
                     (peer.client_key.empty() ? peer.client_certificate : peer.client_key).c_str());
  }
  return absl::OkStatus();
}

// curl reads the environment itself but ignores HTTP_PROXY (a CGI precaution that means nothing to
// a daemon, and service files say HTTP_PROXY), and would send loopback traffic to a proxy.
void Hop::ConfigureProxy(const std::string& url) {
  if (IsLoopbackHost(UrlHost(url))) {
    curl_easy_setopt(easy_, CURLOPT_PROXY, "");
    return;
  }
  const char* upper = std::getenv("HTTP_PROXY");
  if (absl::StartsWith(url, "http://") && std::getenv("http_proxy") == nullptr &&
      upper != nullptr) {
    curl_easy_setopt(easy_, CURLOPT_PROXY, upper);
  }
}

absl::Status Hop::Configure(const std::string& url, bool own_origin) {
  curl_easy_reset(easy_);
  curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
  // Without it, giving up on a slow name server would wait for its answer.
  curl_easy_setopt(easy_, CURLOPT_QUICK_EXIT, 1L);
  curl_easy_setopt(easy_, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy_, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(easy_, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(easy_, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  curl_easy_setopt(easy_, CURLOPT_USERAGENT, "crisp");
  curl_easy_setopt(easy_, CURLOPT_BUFFERSIZE, kReceiveBuffer);
  curl_easy_setopt(easy_, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS,
                   std::max<long>(1, absl::ToInt64Milliseconds(request_.peer.dial_timeout)));
  curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, error_text_);
  curl_easy_setopt(easy_, CURLOPT_OPENSOCKETFUNCTION, &OpenSocket);
  curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, &Hop::OnHeader);
  curl_easy_setopt(easy_, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &Hop::OnBody);
  curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
  // Without it a server may compress as it likes (RFC 9110, 12.5.3), and digests are of what is
  // not.
  Append(&headers_, "Accept-Encoding: identity");
  for (const auto& [name, value] : request_.headers) Append(&headers_, name + ": " + value);
  if (own_origin) {
    for (const auto& [name, value] : request_.private_headers)
      Append(&headers_, name + ": " + value);
  }
  if (!request_.form.empty()) {
    Append(&headers_, "Expect:");
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request_.form.size()));
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, request_.form.c_str());
  }
  curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, headers_.get());
  ConfigureProxy(url);
  return ConfigureTrust(own_origin);
}

// Advice for what libraries say of a failed handshake.
std::string TlsHint(CURLcode code, absl::string_view text) {
  if (absl::StrContains(text, "wrong version number") || absl::StrContains(text, "http request")) {
    return " (it speaks no TLS here: for a registry of plain HTTP write server = \"http://HOST\" "
           "into "
           "certs.d/HOST/hosts.toml)";
  }
  const bool unknown = absl::StrContains(text, "local issuer certificate") ||
                       absl::StrContains(text, "self-signed certificate") ||
                       absl::StrContains(text, "self signed certificate");
  if (code == CURLE_PEER_FAILED_VERIFICATION && unknown) {
    return " (this node does not know who signed its certificate: name the authority's file as ca "
           "in "
           "certs.d/HOST/hosts.toml, or add it to the system's)";
  }
  if (absl::StrContains(text, "certificate required")) {
    return " (it wants a client's certificate: client in certs.d/HOST/hosts.toml)";
  }
  return "";
}

void Hop::Conclude(CURLcode code) {
  long status = 0;
  curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
  reply_.status = static_cast<int>(status);
  if (code == CURLE_OK || body_cut_) return;
  const char* text = error_text_[0] != '\0' ? error_text_ : curl_easy_strerror(code);
  Fail(EndOf(code),
       absl::UnavailableError(absl::StrCat(where_, ": ", ScrubUrls(text), TlsHint(code, text))));
}

void Hop::Drive(const Operation& operation) {
  const auto wake = operation.OnCancel([this] { curl_multi_wakeup(multi_); });
  while (!failed_) {
    int running = 0;
    if (curl_multi_perform(multi_, &running) != CURLM_OK) {
      Fail(HttpEnd::kBroken, absl::InternalError(absl::StrCat(where_, ": transfer engine failed")));
      return;
    }
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg == CURLMSG_DONE) return Conclude(message->data.result);
    }
    if (absl::Status fired = operation.Check(where_); !fired.ok()) {
      return Fail(HttpEnd::kCancelled, std::move(fired));
    }
    if (Stalled()) return;
    const absl::Time stalled = window_start_ + request_.stall_timeout;
    // The longest timeout is a matter of form: curl has none that is for ever.
    const int most =
        PollTimeout(std::min({operation.deadline(), stalled, absl::Now() + absl::Hours(1)}));
    curl_multi_poll(multi_, nullptr, 0, std::max(most, 1), nullptr);
  }
}

HttpReply Hop::Run(const std::string& url, bool own_origin, const Operation& operation) {
  where_ = ScrubUrls(url);
  window_start_ = absl::Now();
  if (absl::Status configured = Configure(url, own_origin); !configured.ok()) {
    Fail(HttpEnd::kTlsFailed, std::move(configured));
    return std::move(reply_);
  }
  if (curl_multi_add_handle(multi_, easy_) != CURLM_OK) {
    Fail(HttpEnd::kBroken, absl::InternalError(absl::StrCat(where_, ": no transfer handle")));
    return std::move(reply_);
  }
  Drive(operation);
  curl_multi_remove_handle(multi_, easy_);
  curl_easy_reset(easy_);  // it points into this object
  return std::move(reply_);
}

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

}  // namespace

absl::string_view HttpReply::Header(absl::string_view name) const {
  const auto it = headers.find(std::string(name));
  return it == headers.end() ? absl::string_view() : absl::string_view(it->second);
}

bool HttpReply::IsEncoded() const {
  const absl::string_view encoding = Header("content-encoding");
  return !encoding.empty() && !absl::EqualsIgnoreCase(encoding, "identity");
}

// A curl multi handle owns the connections that its transfers leave open.
struct HttpClient::Idle {
  Idle() : multi(curl_multi_init()), easy(curl_easy_init()) {}
  ~Idle() {
    curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
  }
  CURLM* multi;
  CURL* easy;
};

HttpClient::HttpClient() { InitialiseCurl(); }
HttpClient::~HttpClient() = default;

std::unique_ptr<HttpClient::Idle> HttpClient::Take() {
  absl::MutexLock lock(&mutex_);
  if (idle_.empty()) return std::make_unique<Idle>();
  std::unique_ptr<Idle> idle = std::move(idle_.back());
  idle_.pop_back();
  return idle;
}

void HttpClient::Give(std::unique_ptr<Idle> idle) {
  absl::MutexLock lock(&mutex_);
  if (idle_.size() < kMaxIdle) idle_.push_back(std::move(idle));
}

HttpReply HttpClient::Send(const HttpRequest& request,
                           const HttpSink& sink,
                           const Operation& operation) {
  std::unique_ptr<Idle> handle = Take();
  if (handle->multi == nullptr || handle->easy == nullptr) {
    return {.end = HttpEnd::kBroken,
            .error = absl::ResourceExhaustedError("no memory for a transfer")};
  }
  const std::string origin = UrlOrigin(request.url);
  std::string url = request.url;
  HttpReply reply;
  for (int hop = 0;; ++hop) {
    reply = Hop(handle->multi, handle->easy, request, sink)
                .Run(url, UrlOrigin(url) == origin, operation);
    // A form may hold a refresh token: it goes nowhere but where it was sent.
    if (reply.end != HttpEnd::kComplete || !IsRedirect(reply.status) || !request.form.empty())
      break;
    const std::string next = ResolveUrl(url, std::string(reply.Header("location")));
    const bool downgrade = absl::StartsWith(url, "https:") && absl::StartsWith(next, "http:");
    const char* problem = next.empty()           ? ": redirect to no http or https URL"
                          : hop >= kMaxRedirects ? ": too many redirects"
                          : downgrade && !request.follow_to_plain_http
                              ? ": refused a redirect from https to plain http"
                              : nullptr;
    if (problem != nullptr) {
      reply.end = HttpEnd::kBroken;
      reply.error = absl::UnavailableError(absl::StrCat(ScrubUrls(url), problem));
      break;
    }
    url = next;
  }
  Give(std::move(handle));
  return reply;
}

}  // namespace crisp::storage
