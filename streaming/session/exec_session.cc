#include <fcntl.h>

#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "streaming/session/process_streams.h"
#include "streaming/session/sessions.h"
#include "streaming/session/tasks.h"

namespace crisp::streaming {
namespace {

// How long others that hold the pipes may add to the output after the process has ended.
constexpr absl::Duration kDrainTime = absl::Milliseconds(100);

class ExecSession {
 public:
  ExecSession(SessionContext context,
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
  asio::awaitable<Outcome> FollowProcess();
  asio::awaitable<void> AwaitExit();
  asio::awaitable<void> CopyOut(OutputPump& pump, ClientStream& stream);
  asio::awaitable<void> CopyIn();
  asio::awaitable<void> NoteDeparture();
  void CloseStdio();
  bool drained() const { return copying_ == 0; }

  const SessionContext context_;
  const std::shared_ptr<ClientConnection> client_;
  const SessionRequest request_;
  ProcessStreams streams_;
  std::shared_ptr<Process> process_;
  std::unique_ptr<OutputPump> out_, err_;
  std::unique_ptr<Descriptor> in_, exited_fd_;
  int copying_ = 0;  // outputs whose end has not come
  bool exited_ = false, gone_ = false;
  Condition changed_;
  Tasks tasks_;
};

asio::awaitable<void> ExecSession::Run() {
  absl::StatusOr<ProcessStreams> streams =
      co_await AcceptProcessStreams(client_, request_, context_.options.creation_timeout);
  if (!streams.ok()) {
    LogDebug("streaming.exec",
             {{"container", request_.id}, {"error", streams.status().ToString()}});
    co_return;
  }
  streams_ = *std::move(streams);
  tasks_.Spawn(NoteDeparture());
  Outcome outcome;
  outcome.status = co_await Start();
  if (outcome.status.ok()) outcome = co_await FollowProcess();
  // Processes that one which ended by itself has left in the background are not ours to end.
  if (gone_ && !exited_ && process_ != nullptr) {
    std::function<absl::Status()> kill = [process = process_] { return process->Kill(); };
    const absl::Status killed = co_await RunBlocking(context_.workers, std::move(kill));
    if (!killed.ok()) LogWarning("streaming.kill", {{"error", killed.ToString()}});
  }
  CloseStdio();
  if (gone_) {
    client_->Abort();
  } else {
    co_await ReportOutcome(client_, streams_, outcome);
  }
  co_await tasks_.Join();
}

// The process runs, and everything that follows it.
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
  const asio::any_io_executor executor = client_->executor();
  exited_fd_ = std::make_unique<Descriptor>(executor, exited.release());
  tasks_.Spawn(AwaitExit());
  if (streams_.out != nullptr) {
    out_ = std::make_unique<OutputPump>(executor, std::move(ends->ours.out));
    ++copying_;
    tasks_.Spawn(CopyOut(*out_, *streams_.out));
  }
  if (streams_.err != nullptr) {
    err_ = std::make_unique<OutputPump>(executor, std::move(ends->ours.err));
    ++copying_;
    tasks_.Spawn(CopyOut(*err_, *streams_.err));
  }
  if (streams_.in != nullptr) {
    in_ = std::make_unique<Descriptor>(executor, ends->ours.in.release());
    tasks_.Spawn(CopyIn());
  }
  if (streams_.resize != nullptr) {
    tasks_.Spawn(
        FollowResizes(streams_.resize, context_.workers, [process = process_](TerminalSize size) {
          return process->Resize(size.rows, size.columns);
        }));
  }
  co_return absl::OkStatus();
}

asio::awaitable<Outcome> ExecSession::FollowProcess() {
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

asio::awaitable<void> ExecSession::AwaitExit() {
  boost::system::error_code error;
  co_await exited_fd_->async_wait(Descriptor::wait_read,
                                  asio::redirect_error(asio::use_awaitable, error));
  exited_ = true;
  changed_.Notify();
}

asio::awaitable<void> ExecSession::CopyOut(OutputPump& pump, ClientStream& stream) {
  const CopyEnd end = co_await pump.Run(stream);
  // Like a shell's pipe: whose reader has gone fails to write.
  pump.Close();
  if (end.side == CopyEnd::Side::kEnd) absl::Status ignored = co_await stream.CloseWrite();
  --copying_;
  changed_.Notify();
}

asio::awaitable<void> ExecSession::CopyIn() {
  const CopyEnd end = co_await CopyFromClient(*streams_.in, *in_);
  CloseDescriptor(*in_);
}

asio::awaitable<void> ExecSession::NoteDeparture() {
  co_await AwaitDeparture(client_);
  gone_ = true;
  changed_.Notify();
}

void ExecSession::CloseStdio() {
  if (out_ != nullptr) out_->Close();
  if (err_ != nullptr) err_->Close();
  if (in_ != nullptr) CloseDescriptor(*in_);
  if (exited_fd_ != nullptr) CloseDescriptor(*exited_fd_);
}

}  // namespace

asio::awaitable<void> RunExec(SessionContext context,
                              std::shared_ptr<ClientConnection> client,
                              SessionRequest request) {
  ExecSession session(context, std::move(client), std::move(request));
  co_await session.Run();
}

}  // namespace crisp::streaming
