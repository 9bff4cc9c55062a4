#ifndef CRISP_STREAMING_SESSION_PUMP_H_
#define CRISP_STREAMING_SESSION_PUMP_H_

#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstddef>
#include <optional>

#include "absl/status/status.h"
#include "base/unique_fd.h"
#include "streaming/connection/client.h"

namespace crisp::streaming {

// A non-blocking descriptor of the asio loop: a pipe's end or a socket.
using Descriptor = asio::posix::stream_descriptor;

// Why a copy ended.
struct CopyEnd {
  enum class Side { kEnd, kClient, kLocal };
  Side side = Side::kEnd;  // kEnd: the source ended in order
  absl::Status status;     // what failed otherwise
};

// Copies from a process or a socket to the client, at the client's pace. Not thread-safe: all calls
// on the descriptor's strand.
class OutputPump {
 public:
  OutputPump(const asio::any_io_executor& executor, UniqueFd fd) : fd_(executor, fd.release()) {}

  // Until the end of the output; neither closes the stream nor the descriptor.
  asio::awaitable<CopyEnd> Run(ClientStream& stream);
  // The writer has ended: what it wrote until now is still copied, what others that hold the pipe's
  // other end write from now on is not.
  void Finish();
  // Run() returns at its next step.
  void Close();
  Descriptor& descriptor() { return fd_; }

 private:
  Descriptor fd_;
  std::optional<size_t> left_;  // bytes still to be copied, once Finish() was called
};

// Copies from the client to `fd` until the client half-closes its stream. When nobody reads `fd`
// any more it goes on to read from the client and drops what comes, so that a process that closes
// its stdin early does not hold up the connection; the end then says kLocal.
asio::awaitable<CopyEnd> CopyFromClient(ClientStream& stream, Descriptor& fd);

// Closes without complaint; pending operations end.
void CloseDescriptor(Descriptor& fd);

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_SESSION_PUMP_H_
