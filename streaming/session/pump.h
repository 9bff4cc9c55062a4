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

// The reason why a copy ended.
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

  // Copies until the end of the output. Closes neither the stream nor the descriptor.
  asio::awaitable<CopyEnd> Run(ClientStream& stream);
  // Called when the writer has ended. What it wrote until now is still copied. What others write
  // into the pipe from now on is not.
  void Finish();
  // Makes Run() return at its next step.
  void Close();
  Descriptor& descriptor() { return fd_; }

 private:
  Descriptor fd_;
  std::optional<size_t> left_;  // bytes still to be copied after Finish()
};

// Copies from the client to `fd` until the client half-closes its stream. When nobody reads `fd`
// any more, it goes on to read from the client and drops what comes. So a process that closes its
// stdin early does not hold up the connection; the end then says kLocal.
asio::awaitable<CopyEnd> CopyFromClient(ClientStream& stream, Descriptor& fd);

// Closes it and ignores errors. Pending operations end.
void CloseDescriptor(Descriptor& fd);

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_SESSION_PUMP_H_
