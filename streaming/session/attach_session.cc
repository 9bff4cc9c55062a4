#include <sys/socket.h>

#include <utility>

#include "base/status.h"
#include "streaming/session/stdio_session.h"

namespace crisp::streaming {
namespace {

class AttachSession final : public StdioSession {
 public:
  using StdioSession::StdioSession;

 private:
  asio::awaitable<absl::Status> Start() override;
  asio::awaitable<Outcome> Follow() override;
  // To the container a client that leaves looks like one that ends stdin, so stdin_once is kept.
  asio::awaitable<void> Finish() override { co_return; }
  asio::awaitable<void> CopyIn() override;
  asio::awaitable<void> AwaitHangup();
};

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
  CopyStdio(ends->ours);
  // Without an output the container's end shows as the end of stdin's socket, which then counts as
  // one.
  if (copying_ == 0 && in_ != nullptr) {
    ++copying_;
    tasks_.Spawn(AwaitHangup());
  }
  if (streams_.resize != nullptr) {
    tasks_.Spawn(FollowResizes(streams_.resize, context_.workers,
                               [backend = &context_.backend, id = request_.id](TerminalSize size) {
                                 return backend->ResizeContainer(id, size.rows, size.columns);
                               }));
  }
  co_return absl::OkStatus();
}

asio::awaitable<Outcome> AttachSession::Follow() {
  co_await changed_.Wait([this] { return copying_ == 0 || gone_; });
  if (gone_) co_return Outcome{};
  std::function<absl::Status()> ask = [this] { return context_.backend.WhyDetached(request_.id); };
  Outcome outcome;
  outcome.status = co_await RunBlocking(context_.workers, std::move(ask));
  co_return outcome;
}

asio::awaitable<void> AttachSession::CopyIn() {
  const CopyEnd end = co_await CopyFromClient(*streams_.in, *in_);
  // The end of stdin, while we go on to listen for the other side's.
  if (in_->is_open()) (void)shutdown(in_->native_handle(), SHUT_WR);
}

asio::awaitable<void> AttachSession::AwaitHangup() {
  char byte;
  boost::system::error_code error;
  while (!error && in_->is_open()) {
    co_await in_->async_read_some(asio::buffer(&byte, 1),
                                  asio::redirect_error(asio::use_awaitable, error));
  }
  --copying_;
  changed_.Notify();
}

}  // namespace

asio::awaitable<void> RunAttach(SessionContext context,
                                std::shared_ptr<ClientConnection> client,
                                SessionRequest request) {
  AttachSession session(context, std::move(client), std::move(request));
  co_await session.Run("streaming.attach");
}

}  // namespace crisp::streaming
