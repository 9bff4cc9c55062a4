#ifndef CRISP_STREAMING_SESSION_STDIO_SESSION_H_
#define CRISP_STREAMING_SESSION_STDIO_SESSION_H_

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "streaming/session/condition.h"
#include "streaming/session/process_streams.h"
#include "streaming/session/pump.h"
#include "streaming/session/sessions.h"
#include "streaming/session/tasks.h"

namespace crisp::streaming {

// The common course of exec and attach. The client's streams are accepted, joined to descriptors
// and followed to their end, and the client is told the outcome. Not thread-safe: all calls are
// made on the client's strand.
class StdioSession {
 public:
  StdioSession(SessionContext context,
               std::shared_ptr<ClientConnection> client,
               SessionRequest request)
      : context_(context),
        client_(std::move(client)),
        request_(std::move(request)),
        changed_(client_->executor()),
        tasks_(client_->executor(), [this] { client_->Abort(); }) {}
  virtual ~StdioSession() = default;

  // Runs the session. `event` names it in the log. Nothing of it is left when this returns.
  asio::awaitable<void> Run(const char* event);

 protected:
  // Begins what the request asks for, and copies its stdio (CopyStdio()).
  virtual asio::awaitable<absl::Status> Start() = 0;
  // Waits for the end, or for the client's departure. Called if Start() has succeeded.
  virtual asio::awaitable<Outcome> Follow() = 0;
  // Called at the end in any case, before the stdio is closed.
  virtual asio::awaitable<void> Finish() = 0;
  // Copies from the client to in_, until the client ends stdin.
  virtual asio::awaitable<void> CopyIn() = 0;

  // Takes our ends, and copies between them and the streams that the client asked for.
  void CopyStdio(StdioEnds::Three& ours);

  const SessionContext context_;
  const std::shared_ptr<ClientConnection> client_;
  const SessionRequest request_;
  ProcessStreams streams_;
  std::unique_ptr<OutputPump> out_, err_;
  std::unique_ptr<Descriptor> in_;
  int copying_ = 0;    // outputs whose end has not come
  bool gone_ = false;  // the client has left
  Condition changed_;  // of the two above
  Tasks tasks_;

 private:
  asio::awaitable<void> CopyOut(OutputPump& pump, ClientStream& stream);
  asio::awaitable<void> NoteDeparture();
};

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_SESSION_STDIO_SESSION_H_
