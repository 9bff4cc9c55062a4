#ifndef CRISP_STREAMING_SERVER_HTTP_SESSION_H_
#define CRISP_STREAMING_SERVER_HTTP_SESSION_H_

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>

#include "streaming/connection/client.h"
#include "streaming/connection/transport.h"
#include "streaming/connection/upgraded.h"
#include "streaming/server/server_options.h"
#include "streaming/server/tokens.h"

namespace crisp::streaming {

// One TCP connection from accept to close: TLS, the HTTP request, the upgrade, the handler. Lives
// on its strand. It is over, with every coroutine ended and the socket closed, when Run() returns.
class HttpSession : public std::enable_shared_from_this<HttpSession> {
 public:
  // Decides whether a client that has shown its token is served. The client gets an error as a 503,
  // and its token stays good.
  using Admit = std::function<absl::Status(const HttpSession&, const SessionRequest&)>;

  // `options`, `tokens`, `handler` and `admit` must outlive it.
  HttpSession(std::shared_ptr<Transport> transport,
              const ServerOptions& options,
              Tokens& tokens,
              const Handler& handler,
              const Admit& admit);

  asio::any_io_executor executor() { return executor_; }
  asio::awaitable<void> Run();
  // Ends it soon, from its strand.
  void Fail(absl::Status why);

 private:
  struct Request;
  asio::awaitable<void> Serve();
  asio::awaitable<void> Watch();
  asio::awaitable<void> UpgradeSpdy(std::shared_ptr<Request> request);
  asio::awaitable<void> UpgradeWebSocket(std::shared_ptr<Request> request);
  asio::awaitable<void> Handle(std::shared_ptr<UpgradedConnection> connection,
                               SessionRequest request);
  // Sets the answer of a request that is not upgraded; `extra` are whole header lines. No
  // coroutine: GCC 12 destroys some temporary arguments of an awaited call twice.
  void Refuse(int status, absl::string_view message, absl::string_view extra = "");
  asio::awaitable<void> SendRefusal();

  const std::shared_ptr<Transport> transport_;
  const asio::any_io_executor executor_;
  const ServerOptions& options_;
  Tokens& tokens_;
  const Handler& handler_;
  const Admit& admit_;
  asio::steady_timer watch_timer_;
  bool over_ = false;
  bool watch_done_ = false;
  absl::Status failed_;
  std::string refusal_;
  std::shared_ptr<UpgradedConnection> connection_;
};

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_SERVER_HTTP_SESSION_H_
