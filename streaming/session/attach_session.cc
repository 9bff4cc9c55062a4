#include <sys/socket.h>

#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "streaming/session/process_streams.h"
#include "streaming/session/sessions.h"
#include "streaming/session/tasks.h"

namespace crisp::streaming {
namespace {

class AttachSession {
 public:
  AttachSession(SessionContext context,
                std::shared_ptr<ClientConnection> client,
                SessionRequest request)
      : context_(context),
        client_(std::move(client)),
        request_(std::move(request)),
        changed_(client_->executor()),
        tasks_(client_->executor(), [this] { client_->Abort(); }) {}

  asio::awaitable<void> Run();

 private:
  asio::awaitable<absl::Status> Start();
  asio::awaitable<void> CopyOut(OutputPump& pump, ClientStream& stream);
  asio::awaitable<void> CopyIn();
  asio::awaitable<void> AwaitHangup();
  asio::awaitable<void> NoteDeparture();

  const SessionContext context_;
  const std::shared_ptr<ClientConnection> client_;
  const SessionRequest request_;
  ProcessStreams streams_;
  std::unique_ptr<OutputPump> out_, err_;
  std::unique_ptr<Descriptor> in_;
  int open_ = 0;  // outputs whose end has not come; without any, whether stdin is connected
  bool gone_ = false;
  Condition changed_;
  Tasks tasks_;
};

asio::awaitable<void> AttachSession::Run() {
  absl::StatusOr<ProcessStreams> streams =
      co_await AcceptProcessStreams(client_, request_, context_.options.creation_timeout);
  if (!streams.ok()) {
    LogDebug("streaming.attach",
             {{"container", request_.id}, {"error", streams.status().ToString()}});
    co_return;
  }
  streams_ = *std::move(streams);
  tasks_.Spawn(NoteDeparture());
  Outcome outcome;
  outcome.status = co_await Start();
  if (outcome.status.ok()) {
    co_await changed_.Wait([this] { return open_ == 0 || gone_; });
    std::function<absl::Status()> ask = [this] {
      return context_.backend.WhyDetached(request_.id);
    };
    if (!gone_) outcome.status = co_await RunBlocking(context_.workers, std::move(ask));
  }
  // To the container a client that leaves looks like one that ends stdin: so stdin_once is kept.
  if (out_ != nullptr) out_->Close();
  if (err_ != nullptr) err_->Close();
  if (in_ != nullptr) CloseDescriptor(*in_);
  if (gone_) {
    client_->Abort();
  } else {
    co_await ReportOutcome(client_, streams_, outcome);
  }
  co_await tasks_.Join();
}

asio::awaitable<absl::Status> AttachSession::Start() {
  absl::StatusOr<StdioEnds> made = MakeStdio(request_, StdinForm::kSocketPair);
  if (!made.ok()) co_return made.status();
  auto ends = std::make_shared<StdioEnds>(*std::move(made));
  std::function<absl::Status()> attach = [this, ends] {
    const absl::Status status = context_.backend.Attach(request_, ends->theirs.borrowed());
    ends->theirs = {};
    return status;
  };
  const absl::Status attached = co_await RunBlocking(context_.workers, std::move(attach));
  if (!attached.ok()) co_return attached;
  const asio::any_io_executor executor = client_->executor();
  if (streams_.out != nullptr) {
    out_ = std::make_unique<OutputPump>(executor, std::move(ends->ours.out));
    ++open_;
    tasks_.Spawn(CopyOut(*out_, *streams_.out));
  }
  if (streams_.err != nullptr) {
    err_ = std::make_unique<OutputPump>(executor, std::move(ends->ours.err));
    ++open_;
    tasks_.Spawn(CopyOut(*err_, *streams_.err));
  }
  if (streams_.in != nullptr) {
    in_ = std::make_unique<Descriptor>(executor, ends->ours.in.release());
    tasks_.Spawn(CopyIn());
    if (open_ == 0) {
      ++open_;
      tasks_.Spawn(AwaitHangup());
    }
  }
  if (streams_.resize != nullptr) {
    tasks_.Spawn(FollowResizes(streams_.resize, context_.workers,
                               [backend = &context_.backend, id = request_.id](TerminalSize size) {
                                 return backend->ResizeContainer(id, size.rows, size.columns);
                               }));
  }
  co_return absl::OkStatus();
}

asio::awaitable<void> AttachSession::CopyOut(OutputPump& pump, ClientStream& stream) {
  const CopyEnd end = co_await pump.Run(stream);
  pump.Close();
  if (end.side == CopyEnd::Side::kEnd) absl::Status ignored = co_await stream.CloseWrite();
  --open_;
  changed_.Notify();
}

asio::awaitable<void> AttachSession::CopyIn() {
  const CopyEnd end = co_await CopyFromClient(*streams_.in, *in_);
  // The end of stdin, while we go on to listen for the other side's.
  if (in_->is_open()) (void)shutdown(in_->native_handle(), SHUT_WR);
}

// Attached to stdin alone, the container's end shows as the end of the socket.
asio::awaitable<void> AttachSession::AwaitHangup() {
  char byte;
  boost::system::error_code error;
  while (!error && in_->is_open()) {
    co_await in_->async_read_some(asio::buffer(&byte, 1),
                                  asio::redirect_error(asio::use_awaitable, error));
  }
  --open_;
  changed_.Notify();
}

asio::awaitable<void> AttachSession::NoteDeparture() {
  co_await AwaitDeparture(client_);
  gone_ = true;
  changed_.Notify();
}

}  // namespace

asio::awaitable<void> RunAttach(SessionContext context,
                                std::shared_ptr<ClientConnection> client,
                                SessionRequest request) {
  AttachSession session(context, std::move(client), std::move(request));
  co_await session.Run();
}

}  // namespace crisp::streaming
