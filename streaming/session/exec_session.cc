#include <fcntl.h>

#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "streaming/session/stdio_session.h"

namespace crisp::streaming {
namespace {

// How long others that hold the pipes may add to the output after the process has ended.
constexpr absl::Duration kDrainTime = absl::Milliseconds(100);

class ExecSession final : public StdioSession {
 public:
  using StdioSession::StdioSession;

 private:
  asio::awaitable<absl::Status> Start() override;
  asio::awaitable<Outcome> Follow() override;
  asio::awaitable<void> Finish() override;
  asio::awaitable<void> CopyIn() override;
  asio::awaitable<void> AwaitExit();
  bool drained() const { return copying_ == 0; }

  std::shared_ptr<Process> process_;
  std::unique_ptr<Descriptor> exited_fd_;
  bool exited_ = false;
};

asio::awaitable<absl::Status> ExecSession::Start() {
  absl::StatusOr<StdioEnds> made =
      MakeStdio(request_, request_.tty ? StdinForm::kSocketPair : StdinForm::kPipe);
  if (!made.ok()) co_return made.status();
  auto ends = std::make_shared<StdioEnds>(*std::move(made));
  std::function<absl::StatusOr<std::shared_ptr<Process>>()> start = [this, ends] {
    auto process = context_.backend.StartExec(request_, ends->theirs.borrowed());
    ends->theirs = {};
    return process;
  };
  absl::StatusOr<std::shared_ptr<Process>> process =
      co_await RunBlocking(context_.workers, std::move(start));
  if (!process.ok()) co_return process.status();
  process_ = *std::move(process);
  UniqueFd exited(fcntl(process_->exited_fd(), F_DUPFD_CLOEXEC, 0));
  if (!exited) {
    gone_ = true;  // unobservable, so it must not go on
    co_return ErrnoError(errno, "watch the process");
  }
  exited_fd_ = std::make_unique<Descriptor>(client_->executor(), exited.release());
  tasks_.Spawn(AwaitExit());
  CopyStdio(ends->ours);
  if (streams_.resize != nullptr) {
    tasks_.Spawn(
        FollowResizes(streams_.resize, context_.workers, [process = process_](TerminalSize size) {
          return process->Resize(size.rows, size.columns);
        }));
  }
  co_return absl::OkStatus();
}

asio::awaitable<Outcome> ExecSession::Follow() {
  co_await changed_.Wait([this] { return exited_ || gone_; });
  if (gone_) co_return Outcome{};
  const bool ended = co_await changed_.WaitFor(kDrainTime, [this] { return drained() || gone_; });
  if (!ended) {
    if (out_ != nullptr) out_->Finish();
    if (err_ != nullptr) err_->Finish();
    // Its output goes out at the client's pace.
    co_await changed_.Wait([this] { return drained() || gone_; });
  }
  co_return Outcome{.exit_code = process_->exit_code().value_or(255)};
}

asio::awaitable<void> ExecSession::Finish() {
  // Processes that one which ended by itself has left in the background are not ours to end.
  if (gone_ && !exited_ && process_ != nullptr) {
    std::function<absl::Status()> kill = [process = process_] { return process->Kill(); };
    const absl::Status killed = co_await RunBlocking(context_.workers, std::move(kill));
    if (!killed.ok()) LogWarning("streaming.kill", {{"error", killed.ToString()}});
  }
  if (exited_fd_ != nullptr) CloseDescriptor(*exited_fd_);
}

asio::awaitable<void> ExecSession::CopyIn() {
  const CopyEnd end = co_await CopyFromClient(*streams_.in, *in_);
  CloseDescriptor(*in_);
}

asio::awaitable<void> ExecSession::AwaitExit() {
  boost::system::error_code error;
  co_await exited_fd_->async_wait(Descriptor::wait_read,
                                  asio::redirect_error(asio::use_awaitable, error));
  exited_ = true;
  changed_.Notify();
}

}  // namespace

asio::awaitable<void> RunExec(SessionContext context,
                              std::shared_ptr<ClientConnection> client,
                              SessionRequest request) {
  ExecSession session(context, std::move(client), std::move(request));
  co_await session.Run("streaming.exec");
}

}  // namespace crisp::streaming
