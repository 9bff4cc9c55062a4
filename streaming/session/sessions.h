#ifndef CRISP_STREAMING_SESSION_SESSIONS_H_
#define CRISP_STREAMING_SESSION_SESSIONS_H_

#include "absl/time/time.h"
#include "metrics/registry.h"
#include "streaming/connection/client.h"
#include "streaming/session/backend.h"
#include "streaming/session/run_blocking.h"

namespace crisp::streaming {

struct SessionOptions {
  // The longest time in which a client must open the streams that it asked for.
  absl::Duration creation_timeout = absl::Seconds(30);
  // Pairs of streams that one port-forward connection may have open at a time.
  size_t pair_cap = 1024;
};

// The sessions on upgraded connections. Each is one coroutine on the connection's strand, which
// returns when everything that it made is gone. When its client leaves, an exec session ends all
// processes that it started; an attached container goes on.
class Sessions {
 public:
  // The arguments must outlive the sessions, and the sessions must outlive the server that calls
  // handler().
  Sessions(Backend& backend, metrics::Registry& metrics, SessionOptions options = {})
      : backend_(backend), metrics_(metrics), options_(options) {}

  Handler handler();

 private:
  asio::awaitable<void> Run(std::shared_ptr<ClientConnection> client, SessionRequest request);

  Backend& backend_;
  metrics::Registry& metrics_;
  const SessionOptions options_;
  Workers workers_{{.name = "stream-call"}};
};

// One session of each kind, for Sessions and its tests.
struct SessionContext {
  Backend& backend;
  Workers& workers;
  SessionOptions options;
};
asio::awaitable<void> RunExec(SessionContext context,
                              std::shared_ptr<ClientConnection> client,
                              SessionRequest request);
asio::awaitable<void> RunAttach(SessionContext context,
                                std::shared_ptr<ClientConnection> client,
                                SessionRequest request);
asio::awaitable<void> RunPortForward(SessionContext context,
                                     std::shared_ptr<ClientConnection> client,
                                     SessionRequest request);

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_SESSION_SESSIONS_H_
