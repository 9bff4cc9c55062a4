#ifndef CRISP_STREAMING_SERVER_SERVER_H_
#define CRISP_STREAMING_SERVER_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "streaming/connection/client.h"
#include "streaming/server/server_options.h"
#include "streaming/wire/session_request.h"

namespace crisp::streaming {

// The HTTP server that Exec, Attach and PortForward URLs point to. Thread-safe. Two threads of its
// own serve every connection.
class Server {
 public:
  using Options = ServerOptions;

  // Listens; URLs and certificates age by the clock. InvalidArgument for options that make no sense
  // or key files that hold no key pair, Unavailable when the address cannot be bound.
  static absl::StatusOr<std::unique_ptr<Server>> Start(Options options,
                                                       Handler handler,
                                                       Clock& clock = Clock::Real());

  // Stops listening, aborts every connection and waits for the handlers to return.
  virtual ~Server() = default;

  // A URL that stands for `request`, for one use within `token_ttl`:
  // http(s)://HOST:PORT/{exec,attach,portforward}/TOKEN. ResourceExhausted when too many are
  // unused.
  virtual absl::StatusOr<std::string> Prepare(SessionRequest request) = 0;

  // The port on which it listens.
  virtual int port() const = 0;
  // The number of connections that are being served.
  virtual size_t connections() const = 0;
};

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_SERVER_SERVER_H_
