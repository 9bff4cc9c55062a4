#ifndef CRISP_STREAMING_SERVER_LISTENER_H_
#define CRISP_STREAMING_SERVER_LISTENER_H_

#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp::streaming {

// A TCP socket that listens. Asio's own sockets would not be close-on-exec.
struct TcpListener {
  UniqueFd fd;
  std::string host;  // as configured; a URL's form, with brackets around IPv6
  int port = 0;
  int family = 0;  // AF_INET or AF_INET6
};

// Listens at HOST:PORT ("[::1]:0" for IPv6; port 0 takes a free one), without blocking.
// InvalidArgument for another form, NotFound for a host that has no address, Unavailable when the
// address cannot be bound.
absl::StatusOr<TcpListener> ListenTcp(const std::string& address);

// Accepts one connection, close-on-exec and non-blocking. Unavailable when none waits or the client
// is gone again, ResourceExhausted when descriptors or memory ran out.
absl::StatusOr<UniqueFd> AcceptTcp(int listener);

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_SERVER_LISTENER_H_
