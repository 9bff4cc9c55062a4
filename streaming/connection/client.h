#ifndef CRISP_STREAMING_CONNECTION_CLIENT_H_
#define CRISP_STREAMING_CONNECTION_CLIENT_H_

// clang-format off: before Asio, whose awaitable.hpp uses it without including it.
#include <utility>
// clang-format on

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "streaming/wire/headers.h"
#include "streaming/wire/protocol_traits.h"
#include "streaming/wire/session_request.h"

namespace crisp::streaming {

namespace asio = boost::asio;

// The headers that a session looks at, and the values of kStreamType.
inline constexpr char kStreamTypeHeader[] = "streamtype";
inline constexpr char kPortHeader[] = "port";
inline constexpr char kRequestIdHeader[] = "requestid";
inline constexpr char kStreamTypeError[] = "error";
inline constexpr char kStreamTypeStdin[] = "stdin";
inline constexpr char kStreamTypeStdout[] = "stdout";
inline constexpr char kStreamTypeStderr[] = "stderr";
inline constexpr char kStreamTypeResize[] = "resize";
inline constexpr char kStreamTypeData[] = "data";

// One byte stream to or from the client inside a connection: a SPDY stream or a WebSocket channel.
// Every call must be made on the connection's executor. At most one Read() and one Write() may be
// under way per stream; different streams do not wait for one another, except where they share the
// socket's buffer. Streams live on harmlessly when their connection is gone: every call then fails.
class ClientStream {
 public:
  virtual ~ClientStream() = default;

  // The headers that the client opened it with; for a WebSocket they are made up from the channel.
  virtual const Headers& headers() const = 0;

  // Waits for some bytes and reads up to `size` (at least 1) of them into `data`. 0 when the client
  // half-closed the stream and everything before that was read; Aborted when either side reset it;
  // Unavailable when the connection is gone. What was read makes room for the client to send more:
  // a session that does not read holds the client back.
  virtual asio::awaitable<absl::StatusOr<size_t>> Read(char* data, size_t size) = 0;

  // Sends all of it, waiting for the client's flow-control window and for the socket: this is how a
  // slow client holds a session back. `data` must stay until it returns. Errors as Read()'s;
  // FailedPrecondition after CloseWrite().
  virtual asio::awaitable<absl::Status> Write(const char* data, size_t size) = 0;

  // Tells the client that nothing more comes on this stream; it may still send. Idempotent. On a
  // WebSocket this only stops Write(): clients know no message that says so.
  virtual asio::awaitable<absl::Status> CloseWrite() = 0;

  // Ends both directions at once: what was received and not read is dropped, pending calls return
  // Aborted. Idempotent; nothing to wait for.
  virtual void Reset() = 0;
};

// An upgraded connection. All of its methods must be called on executor(), its strand, where the
// handler runs as well; so sessions need no locks.
class ClientConnection {
 public:
  virtual ~ClientConnection() = default;

  virtual asio::any_io_executor executor() = 0;
  virtual const ProtocolTraits& traits() const = 0;

  // The next stream that the client opened. An error says that the connection ended, and why:
  // Cancelled when the client closed it or this side called Close() or Abort(), Unavailable when it
  // broke, DeadlineExceeded when it was idle for too long, InvalidArgument when the client broke
  // the protocol. A WebSocket gives its fixed channels at once, and then waits for the end. So a
  // session that has all of its streams calls it once more to learn of the client's departure. One
  // call at a time.
  virtual asio::awaitable<absl::StatusOr<std::shared_ptr<ClientStream>>> Accept() = 0;

  // Lets what was written reach the socket, then closes the connection in the protocol's way, then
  // the socket. Takes at most a few seconds, whatever the client does. Pending calls fail. The
  // server calls it when a handler has returned and has not called it.
  virtual asio::awaitable<void> Close() = 0;

  // Closes the socket at once. Pending calls fail. Idempotent.
  virtual void Abort() = 0;
};

// Called once per upgraded connection, on its strand, with the request that its single-use token
// stood for. May throw; that aborts the connection. When the server stops it aborts the connections
// and waits for their handlers: a handler must return soon after Accept() or a stream failed.
using Handler =
    std::function<asio::awaitable<void>(std::shared_ptr<ClientConnection>, SessionRequest)>;

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_CONNECTION_CLIENT_H_
