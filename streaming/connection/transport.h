#ifndef CRISP_STREAMING_CONNECTION_TRANSPORT_H_
#define CRISP_STREAMING_CONNECTION_TRANSPORT_H_

#include <algorithm>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/beast/core/role.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "streaming/connection/byte_socket.h"

namespace crisp::streaming {

// The accepted TCP connection, with or without TLS. It is a ByteSocket, and it models Asio's
// AsyncReadStream and AsyncWriteStream, so that Beast reads HTTP and WebSocket frames from it.
class Transport : public ByteSocket {
 public:
  using executor_type = boost::asio::any_io_executor;
  using Callback = std::function<void(boost::system::error_code, size_t)>;

  static std::unique_ptr<Transport> Plain(boost::asio::ip::tcp::socket socket);
  // A connection with TLS. Handshake() must come before everything else.
  static std::unique_ptr<Transport> Tls(boost::asio::ip::tcp::socket socket,
                                        std::shared_ptr<boost::asio::ssl::context> context);

  // The server's side of the TLS handshake; OK at once without TLS.
  virtual boost::asio::awaitable<absl::Status> Handshake() = 0;
  // The time at which a byte last came or went.
  absl::Time last_activity() const { return last_activity_; }

  executor_type get_executor() { return executor(); }
  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token);
  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& buffers, Token&& token);

  boost::asio::awaitable<absl::StatusOr<size_t>> ReadSome(char* data, size_t size) override;
  boost::asio::awaitable<absl::Status> Write(const char* data, size_t size) override;

 protected:
  virtual void StartRead(boost::asio::mutable_buffer buffer, Callback done) = 0;
  virtual void StartWrite(boost::asio::const_buffer buffer, Callback done) = 0;
  void Touch();

 private:
  // Writes one buffer as it is. Several are copied into one, so that a frame's header and payload
  // leave in one packet.
  template <typename Buffers>
  boost::asio::const_buffer Flatten(const Buffers& buffers);

  static constexpr size_t kMostCopied = 64 << 10;
  std::string flat_;
  absl::Time last_activity_ = absl::InfinitePast();
};

template <typename Buffers, typename Token>
auto Transport::async_read_some(const Buffers& buffers, Token&& token) {
  boost::asio::mutable_buffer first;
  for (auto it = boost::asio::buffer_sequence_begin(buffers);
       it != boost::asio::buffer_sequence_end(buffers) && first.size() == 0; ++it) {
    first = *it;
  }
  return boost::asio::async_initiate<Token, void(boost::system::error_code, size_t)>(
      [this, first](auto handler) {
        auto shared = std::make_shared<decltype(handler)>(std::move(handler));
        StartRead(first, [this, shared](boost::system::error_code error, size_t count) {
          if (count > 0) Touch();
          (*shared)(error, count);
        });
      },
      token);
}

template <typename Buffers, typename Token>
auto Transport::async_write_some(const Buffers& buffers, Token&& token) {
  boost::asio::const_buffer flat = Flatten(buffers);
  return boost::asio::async_initiate<Token, void(boost::system::error_code, size_t)>(
      [this, flat](auto handler) {
        auto shared = std::make_shared<decltype(handler)>(std::move(handler));
        StartWrite(flat, [this, shared](boost::system::error_code error, size_t count) {
          if (count > 0) Touch();
          (*shared)(error, count);
        });
      },
      token);
}

template <typename Buffers>
boost::asio::const_buffer Transport::Flatten(const Buffers& buffers) {
  auto it = boost::asio::buffer_sequence_begin(buffers);
  auto end = boost::asio::buffer_sequence_end(buffers);
  boost::asio::const_buffer first;
  while (it != end && first.size() == 0) first = *it++;
  if (it == end || first.size() >= kMostCopied) return first;
  flat_.assign(static_cast<const char*>(first.data()), first.size());
  for (; it != end; ++it) {
    boost::asio::const_buffer next = *it;
    size_t room = kMostCopied - flat_.size();
    flat_.append(static_cast<const char*>(next.data()), std::min(room, next.size()));
    if (next.size() >= room) break;
  }
  return boost::asio::buffer(flat_);
}

// Beast's WebSocket calls this on the stream below it when it has closed.
void beast_close_socket(Transport& transport);
void teardown(boost::beast::role_type, Transport& transport, boost::system::error_code& error);
template <typename Handler>
void async_teardown(boost::beast::role_type role, Transport& transport, Handler&& handler) {
  boost::system::error_code error;
  teardown(role, transport, error);
  boost::asio::post(transport.get_executor(),
                    [error, h = std::forward<Handler>(handler)]() mutable { h(error); });
}

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_CONNECTION_TRANSPORT_H_
