#include "storage/registry/testing/http_test_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace crisp::storage {
namespace {

constexpr int kPollMilliseconds = 20;

bool SendAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

HttpTestServer::Request ParseHead(absl::string_view head) {
  HttpTestServer::Request request;
  bool first = true;
  for (absl::string_view line : absl::StrSplit(head, "\r\n")) {
    if (first) {
      const std::vector<std::string> words = absl::StrSplit(line, ' ');
      request.method = words[0];
      const std::vector<std::string> target =
          absl::StrSplit(words.size() > 1 ? words[1] : "", absl::MaxSplits('?', 1));
      request.path = target[0];
      request.query = target.size() > 1 ? target[1] : "";
      first = false;
    } else if (const size_t colon = line.find(':'); colon != absl::string_view::npos) {
      request.headers[absl::AsciiStrToLower(line.substr(0, colon))] =
          std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
    }
  }
  return request;
}

}  // namespace

std::string HttpTestServer::Request::Header(const std::string& name) const {
  const auto it = headers.find(name);
  return it == headers.end() ? "" : it->second;
}

HttpTestServer::HttpTestServer(Handler handler) : handler_(std::move(handler)) {
  listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      ::listen(listener_.get(), 64) != 0 ||
      ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    std::abort();
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { AcceptLoop(); });
}

HttpTestServer::~HttpTestServer() {
  stop_ = true;
  acceptor_.join();
  std::vector<std::thread> threads;
  {
    absl::MutexLock lock(&mutex_);
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
}

std::string HttpTestServer::host() const { return absl::StrCat("127.0.0.1:", port_); }

std::vector<HttpTestServer::Request> HttpTestServer::requests() const {
  absl::MutexLock lock(&mutex_);
  return requests_;
}

int HttpTestServer::CountOf(absl::string_view path) const {
  const std::vector<Request> all = requests();
  return static_cast<int>(std::count_if(all.begin(), all.end(), [path](const Request& request) {
    return absl::string_view(request.path) == path;
  }));
}

void HttpTestServer::AcceptLoop() {
  while (!stop_) {
    pollfd wait = {.fd = listener_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&wait, 1, kPollMilliseconds) <= 0) continue;
    const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    ++connections_;
    absl::MutexLock lock(&mutex_);
    threads_.emplace_back([this, fd] { Serve(fd); });
  }
}

void HttpTestServer::Serve(int fd) {
  const UniqueFd owner(fd);
  std::string buffer;
  while (!stop_) {
    pollfd wait = {.fd = fd, .events = POLLIN, .revents = 0};
    if (::poll(&wait, 1, kPollMilliseconds) <= 0) continue;
    char chunk[16384];
    const ssize_t got = ::recv(fd, chunk, sizeof(chunk), 0);
    if (got <= 0) return;
    buffer.append(chunk, static_cast<size_t>(got));
    if (buffer[0] == '\x16') return;  // a TLS handshake: this server speaks plain HTTP only
    while (!stop_ && buffer.find("\r\n\r\n") != std::string::npos) {
      const size_t before = buffer.size();
      if (!ServeOne(fd, &buffer)) return;
      if (buffer.size() == before) break;  // its body is still on the way
    }
  }
}

bool HttpTestServer::ServeOne(int fd, std::string* buffer) {
  const size_t end = buffer->find("\r\n\r\n");
  Request request = ParseHead(buffer->substr(0, end));
  size_t length = 0;
  (void)absl::SimpleAtoi(request.Header("content-length"), &length);
  if (buffer->size() < end + 4 + length) return true;
  request.body = buffer->substr(end + 4, length);
  buffer->erase(0, end + 4 + length);
  {
    absl::MutexLock lock(&mutex_);
    requests_.push_back(request);
  }
  return Send(fd, handler_(request));
}

bool HttpTestServer::Send(int fd, const Response& response) {
  std::string head = absl::StrCat("HTTP/1.1 ", response.status, " x\r\n");
  for (const auto& [name, value] : response.headers) {
    absl::StrAppend(&head, name, ": ", value, "\r\n");
  }
  if (!response.content_length.empty()) {
    absl::StrAppend(&head, "Content-Length: ", response.content_length, "\r\n");
  } else if (response.announce_length) {
    absl::StrAppend(&head, "Content-Length: ", response.body.size(), "\r\n");
  } else {
    absl::StrAppend(&head, "Connection: close\r\n");
  }
  const absl::string_view body =
      absl::string_view(response.body).substr(0, response.cut_after.value_or(response.body.size()));
  if (!SendAll(fd, absl::StrCat(head, "\r\n")) || !SendAll(fd, body)) return false;
  if (response.hold) HoldOpen(fd);
  return !response.hold && !response.cut_after.has_value() && response.announce_length;
}

void HttpTestServer::HoldOpen(int fd) {
  while (!stop_) {
    pollfd wait = {.fd = fd, .events = POLLIN | POLLRDHUP, .revents = 0};
    if (::poll(&wait, 1, kPollMilliseconds) > 0) return;
  }
}

}  // namespace crisp::storage
