#include "streaming/connection/transport.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace crisp::streaming {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// True if the peer closed its side. The kernel knows that also while nobody reads.
bool HungUp(tcp::socket& socket) {
  if (!socket.is_open()) return true;
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(socket.native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return true;
  return info.tcpi_state != TCP_ESTABLISHED;
}

class PlainTransport : public Transport {
 public:
  explicit PlainTransport(tcp::socket socket) : socket_(std::move(socket)) { Touch(); }

  asio::any_io_executor executor() override { return socket_.get_executor(); }
  asio::awaitable<absl::Status> Handshake() override { co_return absl::OkStatus(); }
  asio::awaitable<void> ShutdownWrite() override {
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
    co_return;
  }
  void Abort() override {
    error_code ignored;
    socket_.close(ignored);
  }
  bool PeerGone() const override { return HungUp(const_cast<tcp::socket&>(socket_)); }

 protected:
  void StartRead(asio::mutable_buffer buffer, Callback done) override {
    socket_.async_read_some(buffer, std::move(done));
  }
  void StartWrite(asio::const_buffer buffer, Callback done) override {
    socket_.async_write_some(buffer, std::move(done));
  }

 private:
  tcp::socket socket_;
};

class TlsTransport : public Transport {
 public:
  TlsTransport(tcp::socket socket, std::shared_ptr<asio::ssl::context> context)
      : context_(std::move(context)), stream_(std::move(socket), *context_) {
    Touch();
  }

  asio::any_io_executor executor() override { return stream_.get_executor(); }
  asio::awaitable<absl::Status> Handshake() override {
    error_code error;
    co_await stream_.async_handshake(asio::ssl::stream_base::server,
                                     asio::redirect_error(asio::use_awaitable, error));
    if (error) {
      co_return absl::UnavailableError(
          absl::StrCat("TLS handshake with a streaming client: ", error.message()));
    }
    Touch();
    co_return absl::OkStatus();
  }
  // TCP's end without TLS's closing notice, which Asio can only send while it waits for the peer's
  // in the reader's place. Nothing can be cut off unseen: SPDY and WebSocket say their end inside.
  asio::awaitable<void> ShutdownWrite() override {
    error_code ignored;
    stream_.next_layer().shutdown(tcp::socket::shutdown_send, ignored);
    co_return;
  }
  void Abort() override {
    error_code ignored;
    stream_.next_layer().close(ignored);
  }
  bool PeerGone() const override { return HungUp(const_cast<tcp::socket&>(stream_.next_layer())); }

 protected:
  void StartRead(asio::mutable_buffer buffer, Callback done) override {
    stream_.async_read_some(buffer, std::move(done));
  }
  void StartWrite(asio::const_buffer buffer, Callback done) override {
    stream_.async_write_some(buffer, std::move(done));
  }

 private:
  std::shared_ptr<asio::ssl::context> context_;  // a reload replaces the server's, not ours
  asio::ssl::stream<tcp::socket> stream_;
};

}  // namespace

std::unique_ptr<Transport> Transport::Plain(tcp::socket socket) {
  return std::make_unique<PlainTransport>(std::move(socket));
}

std::unique_ptr<Transport> Transport::Tls(tcp::socket socket,
                                          std::shared_ptr<asio::ssl::context> context) {
  return std::make_unique<TlsTransport>(std::move(socket), std::move(context));
}

void Transport::Touch() { last_activity_ = absl::Now(); }

asio::awaitable<absl::StatusOr<size_t>> Transport::ReadSome(char* data, size_t size) {
  error_code error;
  size_t count = co_await async_read_some(asio::buffer(data, size),
                                          asio::redirect_error(asio::use_awaitable, error));
  if (error == asio::error::eof || error == asio::ssl::error::stream_truncated) co_return 0u;
  if (error) {
    co_return absl::UnavailableError(
        absl::StrCat("read from a streaming client: ", error.message()));
  }
  co_return count;
}

asio::awaitable<absl::Status> Transport::Write(const char* data, size_t size) {
  while (size > 0) {
    error_code error;
    size_t count = co_await async_write_some(asio::const_buffer(data, size),
                                             asio::redirect_error(asio::use_awaitable, error));
    if (error) {
      co_return absl::UnavailableError(
          absl::StrCat("write to a streaming client: ", error.message()));
    }
    data += count;
    size -= count;
  }
  co_return absl::OkStatus();
}

void beast_close_socket(Transport& transport) { transport.Abort(); }

void teardown(boost::beast::role_type, Transport& transport, error_code& error) {
  error = {};
  transport.Abort();
}

}  // namespace crisp::streaming
