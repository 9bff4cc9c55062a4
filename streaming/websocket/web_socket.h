#ifndef CRISP_STREAMING_WEBSOCKET_WEB_SOCKET_H_
#define CRISP_STREAMING_WEBSOCKET_WEB_SOCKET_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "streaming/connection/byte_socket.h"
#include "streaming/connection/transport.h"

namespace crisp::streaming {

// The server's side of a WebSocket (RFC 6455), through Beast. It answers pings while a read is
// under way. All calls are made on executor(), at most one read and one write at a time.
class WebSocket {
 public:
  // The greatest length of a message. A longer one ends the connection.
  static constexpr size_t kMaxMessage = 1 << 20;

  using UpgradeRequest = boost::beast::http::request<boost::beast::http::empty_body>;

  explicit WebSocket(std::shared_ptr<Transport> transport);

  boost::asio::any_io_executor executor() { return transport_->executor(); }
  // Answers the upgrade, with this sub-protocol unless it is empty. InvalidArgument for a request
  // that is not a WebSocket handshake (it was answered 400), Unavailable when the connection broke.
  boost::asio::awaitable<absl::Status> Accept(const UpgradeRequest& request,
                                              const std::string& protocol);
  // The next message; the view is good until the next call. Cancelled when the client closed,
  // InvalidArgument when it broke the protocol, Unavailable when the connection broke.
  boost::asio::awaitable<absl::StatusOr<absl::string_view>> Read();
  // Sends one message.
  enum class Form { kText, kBinary };
  boost::asio::awaitable<absl::Status> Write(Form form, const char* data, size_t size);
  // Sends a close frame and waits for the client's. It has no limit of time: Abort() ends it.
  boost::asio::awaitable<void> Close();
  void Abort() { transport_->Abort(); }
  bool PeerGone() const { return transport_->PeerGone(); }

 private:
  std::shared_ptr<Transport> transport_;
  boost::beast::websocket::stream<Transport&> stream_;
  boost::beast::flat_buffer message_;
};

// The bytes of a WebSocket's messages as one stream: SPDY tunnelled through a WebSocket.
class WebSocketTunnel : public ByteSocket {
 public:
  explicit WebSocketTunnel(std::unique_ptr<WebSocket> socket) : socket_(std::move(socket)) {}

  boost::asio::any_io_executor executor() override { return socket_->executor(); }
  boost::asio::awaitable<absl::StatusOr<size_t>> ReadSome(char* data, size_t size) override;
  boost::asio::awaitable<absl::Status> Write(const char* data, size_t size) override;
  boost::asio::awaitable<void> ShutdownWrite() override;
  void Abort() override { socket_->Abort(); }
  bool PeerGone() const override { return socket_->PeerGone(); }

 private:
  std::unique_ptr<WebSocket> socket_;
  absl::string_view unread_;
  bool ended_ = false;
};

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_WEBSOCKET_WEB_SOCKET_H_
