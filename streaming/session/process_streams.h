#ifndef CRISP_STREAMING_SESSION_PROCESS_STREAMS_H_
#define CRISP_STREAMING_SESSION_PROCESS_STREAMS_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "streaming/connection/client.h"
#include "streaming/session/backend.h"
#include "streaming/session/pump.h"
#include "streaming/session/run_blocking.h"
#include "streaming/wire/outcome.h"

namespace crisp::streaming {

// The common parts of exec and attach. All functions run on the client's strand.

// The client's streams. One that was not asked for is null.
struct ProcessStreams {
  std::shared_ptr<ClientStream> in, out, err, error, resize;
};

// Waits until the client has opened exactly what the request and the protocol call for. When it
// does not within `limit`, opens others, or leaves, the connection is aborted and the error says
// why.
asio::awaitable<absl::StatusOr<ProcessStreams>> AcceptProcessStreams(
    std::shared_ptr<ClientConnection> client, const SessionRequest& request, absl::Duration limit);

// Returns once the client has left; streams that it opens meanwhile are reset.
asio::awaitable<void> AwaitDeparture(std::shared_ptr<ClientConnection> client);

// Calls `resize` on a worker for every size that comes, until the stream ends.
asio::awaitable<void> FollowResizes(std::shared_ptr<ClientStream> stream,
                                    Workers& workers,
                                    std::function<absl::Status(TerminalSize)> resize);

// Ends every output stream, writes the outcome to the error stream and closes the connection.
asio::awaitable<void> ReportOutcome(std::shared_ptr<ClientConnection> client,
                                    const ProcessStreams& streams,
                                    const Outcome& outcome);

// Both sides' ends of the stdio that a request asks for.
struct StdioEnds {
  struct Three {
    UniqueFd in, out, err;
    SessionStdio borrowed() const {
      return {.stdin_fd = in.get(), .stdout_fd = out.get(), .stderr_fd = err.get()};
    }
  };
  Three ours, theirs;
};
// The form of stdin. With a socket pair the departure of the other side shows. A pipe is what
// programs expect of their stdin.
enum class StdinForm { kPipe, kSocketPair };

absl::StatusOr<StdioEnds> MakeStdio(const SessionRequest& request, StdinForm form);

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_SESSION_PROCESS_STREAMS_H_
