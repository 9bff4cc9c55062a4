#ifndef CRISP_STREAMING_CONNECTION_BYTE_SOCKET_H_
#define CRISP_STREAMING_CONNECTION_BYTE_SOCKET_H_

// clang-format off: before Asio, whose awaitable.hpp uses it without including it.
#include <utility>
// clang-format on

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace crisp::streaming {

// A connected byte stream: TCP, TLS, or the binary messages of a WebSocket. All calls on
// executor(), at most one read and one write at a time.
class ByteSocket {
 public:
  virtual ~ByteSocket() = default;
  virtual boost::asio::any_io_executor executor() = 0;
  // Reads up to `size` bytes; 0 at the end. Unavailable when the connection broke or was aborted.
  virtual boost::asio::awaitable<absl::StatusOr<size_t>> ReadSome(char* data, size_t size) = 0;
  // Writes everything. Unavailable as above.
  virtual boost::asio::awaitable<absl::Status> Write(const char* data, size_t size) = 0;
  // Tells the peer that nothing more comes. Errors do not matter, because the connection ends soon.
  virtual boost::asio::awaitable<void> ShutdownWrite() = 0;
  // Closes the descriptor. Reads and writes under way fail.
  virtual void Abort() = 0;
  // True if the peer has hung up. Needed while back-pressure keeps anything from being read.
  virtual bool PeerGone() const = 0;
};

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_CONNECTION_BYTE_SOCKET_H_
