#include "streaming/session/sessions.h"

#include <utility>

#include "metrics/names.h"

namespace crisp::streaming {
namespace {

const char* KindName(SessionRequest::Kind kind) {
  switch (kind) {
    case SessionRequest::Kind::kExec:
      return "exec";
    case SessionRequest::Kind::kAttach:
      return "attach";
    case SessionRequest::Kind::kPortForward:
      return "port_forward";
  }
  return "";
}

// Counts a session for as long as it lives.
class InFlight {
 public:
  InFlight(metrics::Registry& metrics, const char* kind) : metrics_(metrics), kind_(kind) {
    metrics_.Increment(metrics::kStreamingSessions, {kind_});
    metrics_.Add(metrics::kStreamingSessionsInFlight, 1, {kind_});
  }
  ~InFlight() { metrics_.Add(metrics::kStreamingSessionsInFlight, -1, {kind_}); }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;

 private:
  metrics::Registry& metrics_;
  const char* const kind_;
};

}  // namespace

Handler Sessions::handler() {
  return [this](std::shared_ptr<ClientConnection> client, SessionRequest request) {
    return Run(std::move(client), std::move(request));
  };
}

asio::awaitable<void> Sessions::Run(std::shared_ptr<ClientConnection> client,
                                    SessionRequest request) {
  const InFlight counted(metrics_, KindName(request.kind));
  SessionContext context{.backend = backend_, .workers = workers_, .options = options_};
  const SessionRequest::Kind kind = request.kind;
  if (kind == SessionRequest::Kind::kExec) {
    co_await RunExec(context, std::move(client), std::move(request));
  } else if (kind == SessionRequest::Kind::kAttach) {
    co_await RunAttach(context, std::move(client), std::move(request));
  } else {
    co_await RunPortForward(context, std::move(client), std::move(request));
  }
}

}  // namespace crisp::streaming
