#include "streaming/server/http_session.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <chrono>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "streaming/spdy/spdy_connection.h"
#include "streaming/websocket/channel_connection.h"
#include "streaming/websocket/web_socket.h"
#include "streaming/wire/upgrade.h"

namespace crisp::streaming {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using Parser = http::request_parser<http::empty_body>;

constexpr uint32_t kMaxHead = 64 << 10;
constexpr char kSpdy[] = "SPDY/3.1";
constexpr size_t kMaxChannelPorts = 64;
constexpr std::chrono::seconds kLingerTime{1};

std::vector<std::string> Values(const http::fields& fields, const std::string& name) {
  std::vector<std::string> values;
  auto [begin, end] = fields.equal_range(name);
  for (auto it = begin; it != end; ++it) {
    values.emplace_back(it->value().data(), it->value().size());
  }
  return values;
}

bool Lists(const http::fields& fields, const std::string& name, absl::string_view element) {
  for (const std::string& value : SplitList(Values(fields, name))) {
    if (absl::EqualsIgnoreCase(value, element)) return true;
  }
  return false;
}

const boost::system::error_category& HttpErrors() {
  static const boost::system::error_category& category =
      http::make_error_code(http::error::end_of_stream).category();
  return category;
}

absl::string_view ReasonOf(int status) {
  auto reason = http::obsolete_reason(static_cast<http::status>(status));
  return absl::string_view(reason.data(), reason.size());
}

}  // namespace

struct HttpSession::Request {
  beast::flat_buffer buffer{kMaxHead};  // what came after the head is left here
  Parser parser;
  SessionRequest session;
  std::string Early() const {
    auto data = buffer.data();
    return std::string(static_cast<const char*>(data.data()), data.size());
  }
};

HttpSession::HttpSession(std::shared_ptr<Transport> transport,
                         const ServerOptions& options,
                         Tokens& tokens,
                         const Handler& handler,
                         const Admit& admit)
    : transport_(std::move(transport)),
      executor_(transport_->executor()),
      options_(options),
      tokens_(tokens),
      handler_(handler),
      admit_(admit),
      watch_timer_(executor_) {}

void HttpSession::Fail(absl::Status why) {
  if (failed_.ok()) failed_ = why;
  if (connection_ != nullptr) {
    connection_->Fail(std::move(why));
  } else {
    transport_->Abort();
  }
}

asio::awaitable<void> HttpSession::Run() {
  std::shared_ptr<HttpSession> self = shared_from_this();
  asio::co_spawn(executor_, Watch(), asio::detached);
  try {
    co_await Serve();
    if (!refusal_.empty()) co_await SendRefusal();
  } catch (const std::exception& error) {
    LogWarning("streaming client failed", {{"error", error.what()}});
  }
  if (connection_ == nullptr) transport_->Abort();
  over_ = true;
  while (!watch_done_) {
    watch_timer_.cancel();
    co_await asio::post(executor_, asio::use_awaitable);
  }
}

asio::awaitable<void> HttpSession::Watch() {
  std::shared_ptr<HttpSession> self = shared_from_this();
  absl::Time handshake_ends =
      absl::Now() + std::min(options_.handshake_timeout, options_.request_timeout);
  while (!over_ && failed_.ok()) {
    absl::Time ends = handshake_ends;
    if (connection_ != nullptr) {
      ends = options_.idle_timeout > absl::ZeroDuration()
                 ? transport_->last_activity() + options_.idle_timeout
                 : absl::InfiniteFuture();
    }
    absl::Duration left = ends - absl::Now();
    if (left <= absl::ZeroDuration()) {
      Fail(absl::DeadlineExceededError(connection_ != nullptr
                                           ? "the streaming connection was idle for too long"
                                           : "the client took too long to upgrade"));
      break;
    }
    watch_timer_.expires_after(
        absl::ToChronoMilliseconds(std::min(left, absl::Hours(1)) + absl::Milliseconds(1)));
    boost::system::error_code ignored;
    co_await watch_timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  watch_done_ = true;
}

asio::awaitable<void> HttpSession::Serve() {
  absl::Status secured = co_await transport_->Handshake();
  if (!secured.ok()) {
    LogDebug("streaming handshake failed", {{"error", secured.message()}});
    co_return;
  }
  auto request = std::make_shared<Request>();
  request->parser.header_limit(kMaxHead / 2);
  boost::system::error_code error;
  co_await http::async_read_header(*transport_, request->buffer, request->parser,
                                   asio::redirect_error(asio::use_awaitable, error));
  if (error && (error == http::error::end_of_stream || error.category() != HttpErrors())) {
    co_return;  // the client left, or the time was up
  }
  if (error) {
    Refuse(400, absl::StrCat("malformed request: ", error.message()));
    co_return;
  }
  const auto& head = request->parser.get();
  if (head.method() != http::verb::get && head.method() != http::verb::post) {
    Refuse(405, "only GET and POST", "Allow: GET, POST\r\n");
    co_return;
  }
  std::string path(head.target().data(), head.target().size());
  std::optional<Target> target = ParseTarget(path);
  std::optional<SessionRequest> session;
  if (target.has_value()) {
    auto taken = tokens_.TakeIf(target->token, target->kind, [this](const SessionRequest& asked) {
      return admit_(*this, asked);
    });
    if (!taken.ok()) {
      Refuse(503, taken.status().message(), "Retry-After: 1\r\n");
      co_return;
    }
    session = *std::move(taken);
  }
  if (!session.has_value()) {
    Refuse(404, "no such streaming URL, or it was used or has expired");
    co_return;
  }
  request->session = std::move(*session);
  bool upgrade = Lists(head, "Connection", "upgrade");
  if (upgrade && Lists(head, "Upgrade", kSpdy)) {
    co_await UpgradeSpdy(request);
  } else if (upgrade && Lists(head, "Upgrade", "websocket")) {
    co_await UpgradeWebSocket(request);
  } else {
    Refuse(400, "the request asks for no upgrade to SPDY/3.1 or websocket");
  }
}

asio::awaitable<void> HttpSession::UpgradeSpdy(std::shared_ptr<Request> request) {
  SessionRequest::Kind kind = request->session.kind;
  absl::StatusOr<ProtocolTraits> traits =
      NegotiateSpdy(kind, SplitList(Values(request->parser.get(), "X-Stream-Protocol-Version")));
  if (!traits.ok()) {
    bool unknown = absl::IsPermissionDenied(traits.status());
    std::string accepted;
    for (const std::string& name : SpdyProtocols(kind)) {
      absl::StrAppend(&accepted, "X-Accepted-Stream-Protocol-Versions: ", name, "\r\n");
    }
    Refuse(unknown ? 403 : 400, traits.status().message(), unknown ? accepted : "");
    co_return;
  }
  std::string answer =
      absl::StrCat("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ", kSpdy,
                   "\r\nX-Stream-Protocol-Version: ", traits->name, "\r\n\r\n");
  absl::Status written = co_await transport_->Write(answer.data(), answer.size());
  if (!written.ok()) co_return;
  auto connection =
      std::make_shared<SpdyConnection>(transport_, std::move(*traits), request->Early());
  co_await Handle(connection, std::move(request->session));
}

asio::awaitable<void> HttpSession::UpgradeWebSocket(std::shared_ptr<Request> request) {
  const auto& head = request->parser.get();
  absl::StatusOr<WebSocketProtocol> protocol =
      NegotiateWebSocket(request->session.kind, SplitList(Values(head, "Sec-WebSocket-Protocol")));
  if (!protocol.ok()) {
    Refuse(403, protocol.status().message());
    co_return;
  }
  size_t ports = request->session.ports.size();
  bool fixed_ports =
      request->session.kind == SessionRequest::Kind::kPortForward && !protocol->tunnel;
  if (fixed_ports && (ports == 0 || ports > kMaxChannelPorts)) {
    Refuse(400, absl::StrCat("this protocol forwards 1 to ", kMaxChannelPorts,
                             " ports that the PortForward call names, not ", ports));
    co_return;
  }
  if (request->buffer.size() > 0) {
    Refuse(400, "bytes before the WebSocket's handshake was answered");
    co_return;
  }
  auto socket = std::make_unique<WebSocket>(transport_);
  absl::Status accepted = co_await socket->Accept(head, protocol->name);
  if (!accepted.ok()) {
    LogDebug("streaming handshake failed", {{"error", accepted.message()}});
    co_return;
  }
  std::shared_ptr<UpgradedConnection> connection;
  if (protocol->tunnel) {
    auto tunnel = std::make_unique<WebSocketTunnel>(std::move(socket));
    connection = std::make_shared<SpdyConnection>(std::move(tunnel), protocol->traits, "");
  } else {
    connection =
        std::make_shared<ChannelConnection>(std::move(socket), *protocol, request->session);
  }
  co_await Handle(connection, std::move(request->session));
}

asio::awaitable<void> HttpSession::Handle(std::shared_ptr<UpgradedConnection> connection,
                                          SessionRequest request) {
  connection_ = connection;
  connection->Start();
  if (!failed_.ok()) connection->Fail(failed_);
  watch_timer_.cancel();  // from now on idleness counts
  std::shared_ptr<ClientConnection> seen = connection;
  try {
    co_await handler_(std::move(seen), std::move(request));
  } catch (const std::exception& error) {
    LogWarning("streaming session failed", {{"error", error.what()}});
    connection->Abort();
  }
  co_await connection->Close();
}

void HttpSession::Refuse(int status, absl::string_view message, absl::string_view extra) {
  refusal_ = absl::StrCat("HTTP/1.1 ", status, " ", ReasonOf(status),
                          "\r\nContent-Type: text/plain\r\nConnection: close\r\n", extra,
                          "Content-Length: ", message.size() + 1, "\r\n\r\n", message, "\n");
}

asio::awaitable<void> HttpSession::SendRefusal() {
  absl::Status written = co_await transport_->Write(refusal_.data(), refusal_.size());
  if (!written.ok()) co_return;
  // Until the client hangs up: closing over unread bytes would reset the answer away.
  co_await transport_->ShutdownWrite();
  asio::steady_timer timer(executor_, kLingerTime);
  timer.async_wait([self = shared_from_this()](boost::system::error_code error) {
    if (!error) self->transport_->Abort();
  });
  std::vector<char> rest(4096);
  while (true) {
    absl::StatusOr<size_t> count = co_await transport_->ReadSome(rest.data(), rest.size());
    if (!count.ok() || *count == 0) break;
  }
}

}  // namespace crisp::streaming
