#include "streaming/websocket/web_socket.h"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/websocket.hpp>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp::streaming {
namespace {

namespace asio = boost::asio;
namespace websocket = boost::beast::websocket;
using boost::system::error_code;

const boost::system::error_category& ProtocolErrors() {
  static const boost::system::error_category& category =
      websocket::make_error_code(websocket::error::closed).category();
  return category;
}

absl::Status SocketError(error_code error, absl::string_view what) {
  std::string text = absl::StrCat(what, ": ", error.message());
  if (error == websocket::error::closed) return absl::CancelledError(text);
  if (error.category() == ProtocolErrors()) return absl::InvalidArgumentError(text);
  return absl::UnavailableError(text);
}

}  // namespace

WebSocket::WebSocket(std::shared_ptr<Transport> transport)
    : transport_(std::move(transport)), stream_(*transport_) {
  stream_.read_message_max(kMaxMessage);
  stream_.auto_fragment(false);  // messages are small already
  // The server looks at handshakes and idleness itself.
  stream_.set_option(
      websocket::stream_base::timeout{.handshake_timeout = websocket::stream_base::none(),
                                      .idle_timeout = websocket::stream_base::none(),
                                      .keep_alive_pings = false});
}

asio::awaitable<absl::Status> WebSocket::Accept(const UpgradeRequest& request,
                                                const std::string& protocol) {
  if (!protocol.empty()) {
    stream_.set_option(
        websocket::stream_base::decorator([protocol](websocket::response_type& response) {
          response.set(boost::beast::http::field::sec_websocket_protocol, protocol);
        }));
  }
  error_code error;
  co_await stream_.async_accept(request, asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return SocketError(error, "WebSocket handshake");
  co_return absl::OkStatus();
}

asio::awaitable<absl::StatusOr<absl::string_view>> WebSocket::Read() {
  message_.clear();
  error_code error;
  co_await stream_.async_read(message_, asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return SocketError(error, "read from a WebSocket client");
  co_return absl::string_view(static_cast<const char*>(message_.cdata().data()), message_.size());
}

asio::awaitable<absl::Status> WebSocket::Write(Form form, const char* data, size_t size) {
  stream_.text(form == Form::kText);
  error_code error;
  co_await stream_.async_write(asio::const_buffer(data, size),
                               asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return SocketError(error, "write to a WebSocket client");
  co_return absl::OkStatus();
}

asio::awaitable<void> WebSocket::Close() {
  error_code ignored;
  websocket::close_reason reason(websocket::close_code::normal);
  co_await stream_.async_close(reason, asio::redirect_error(asio::use_awaitable, ignored));
}

asio::awaitable<absl::StatusOr<size_t>> WebSocketTunnel::ReadSome(char* data, size_t size) {
  while (unread_.empty()) {
    if (ended_) co_return 0u;
    absl::StatusOr<absl::string_view> message = co_await socket_->Read();
    if (absl::IsCancelled(message.status())) {
      ended_ = true;
      co_return 0u;
    }
    if (!message.ok()) co_return message.status();
    unread_ = *message;
  }
  size_t count = std::min(size, unread_.size());
  memcpy(data, unread_.data(), count);
  unread_.remove_prefix(count);
  co_return count;
}

asio::awaitable<absl::Status> WebSocketTunnel::Write(const char* data, size_t size) {
  absl::Status written = co_await socket_->Write(WebSocket::Form::kBinary, data, size);
  co_return written;
}

asio::awaitable<void> WebSocketTunnel::ShutdownWrite() { co_await socket_->Close(); }

}  // namespace crisp::streaming
