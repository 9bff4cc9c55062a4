#include "streaming/session/stdio_session.h"

#include "base/log.h"

namespace crisp::streaming {

asio::awaitable<void> StdioSession::Run(const char* event) {
  absl::StatusOr<ProcessStreams> streams =
      co_await AcceptProcessStreams(client_, request_, context_.options.creation_timeout);
  if (!streams.ok()) {
    LogDebug(event, {{"container", request_.id}, {"error", streams.status().ToString()}});
    co_return;
  }
  streams_ = *std::move(streams);
  tasks_.Spawn(NoteDeparture());
  Outcome outcome;
  outcome.status = co_await Start();
  if (outcome.status.ok()) outcome = co_await Follow();
  co_await Finish();
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

void StdioSession::CopyStdio(StdioEnds::Three& ours) {
  const asio::any_io_executor executor = client_->executor();
  if (streams_.out != nullptr) {
    out_ = std::make_unique<OutputPump>(executor, std::move(ours.out));
    ++copying_;
    tasks_.Spawn(CopyOut(*out_, *streams_.out));
  }
  if (streams_.err != nullptr) {
    err_ = std::make_unique<OutputPump>(executor, std::move(ours.err));
    ++copying_;
    tasks_.Spawn(CopyOut(*err_, *streams_.err));
  }
  if (streams_.in != nullptr) {
    in_ = std::make_unique<Descriptor>(executor, ours.in.release());
    tasks_.Spawn(CopyIn());
  }
}

asio::awaitable<void> StdioSession::CopyOut(OutputPump& pump, ClientStream& stream) {
  const CopyEnd end = co_await pump.Run(stream);
  // As with a shell's pipe, a writer whose reader has gone fails to write.
  pump.Close();
  if (end.side == CopyEnd::Side::kEnd) absl::Status ignored = co_await stream.CloseWrite();
  --copying_;
  changed_.Notify();
}

asio::awaitable<void> StdioSession::NoteDeparture() {
  co_await AwaitDeparture(client_);
  gone_ = true;
  changed_.Notify();
}

}  // namespace crisp::streaming
