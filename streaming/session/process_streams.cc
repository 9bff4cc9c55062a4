#include "streaming/session/process_streams.h"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/pipe.h"
#include "base/status.h"

namespace crisp::streaming {
namespace {

// The place for the stream of this type; null for one that was not asked for.
std::shared_ptr<ClientStream>* SlotOf(const std::string& type,
                                      const SessionRequest& request,
                                      const ProtocolTraits& traits,
                                      ProcessStreams& streams) {
  if (type == kStreamTypeError) return &streams.error;
  if (type == kStreamTypeStdin && request.stdin_open) return &streams.in;
  if (type == kStreamTypeStdout && request.stdout_open) return &streams.out;
  if (type == kStreamTypeStderr && request.stderr_open) return &streams.err;
  if (type == kStreamTypeResize && request.tty && traits.resize) return &streams.resize;
  return nullptr;
}

size_t CountExpected(const SessionRequest& request, const ProtocolTraits& traits) {
  return size_t{1} + (request.stdin_open ? 1 : 0) + (request.stdout_open ? 1 : 0) +
         (request.stderr_open ? 1 : 0) + (request.tty && traits.resize ? 1 : 0);
}

std::string TypeOf(const ClientStream& stream) {
  const auto found = stream.headers().find(kStreamTypeHeader);
  return found == stream.headers().end() ? "" : found->second;
}

// Aborts a connection unless it is dropped before `limit`.
class Watchdog {
 public:
  Watchdog(const std::shared_ptr<ClientConnection>& client, absl::Duration limit)
      : timer_(client->executor(), absl::ToChronoNanoseconds(limit)),
        expired_(std::make_shared<bool>(false)),
        armed_(std::make_shared<bool>(true)) {
    timer_.async_wait(
        [client, expired = expired_, armed = armed_](boost::system::error_code error) {
          if (error || !*armed) return;
          *expired = true;
          client->Abort();
        });
  }
  ~Watchdog() { *armed_ = false; }
  bool expired() const { return *expired_; }

 private:
  asio::steady_timer timer_;
  const std::shared_ptr<bool> expired_, armed_;
};

absl::Status Connect(UniqueFd& read, UniqueFd& write) {
  CRISP_ASSIGN_OR_RETURN(Pipe pipe, MakePipe("a pipe"));
  read = std::move(pipe.read_end);
  write = std::move(pipe.write_end);
  return absl::OkStatus();
}

}  // namespace

asio::awaitable<absl::StatusOr<ProcessStreams>> AcceptProcessStreams(
    std::shared_ptr<ClientConnection> client, const SessionRequest& request, absl::Duration limit) {
  ProcessStreams streams;
  const Watchdog watchdog(client, limit);
  for (size_t left = CountExpected(request, client->traits()); left > 0; --left) {
    absl::StatusOr<std::shared_ptr<ClientStream>> stream = co_await client->Accept();
    if (watchdog.expired()) {
      co_return absl::DeadlineExceededError("the client did not open all of its streams in time");
    }
    if (!stream.ok()) co_return stream.status();
    std::shared_ptr<ClientStream>* slot =
        SlotOf(TypeOf(**stream), request, client->traits(), streams);
    if (slot == nullptr || *slot != nullptr) {
      client->Abort();
      co_return absl::InvalidArgumentError("the client opened a stream that it had not asked for");
    }
    *slot = *std::move(stream);
  }
  co_return streams;
}

asio::awaitable<void> AwaitDeparture(std::shared_ptr<ClientConnection> client) {
  for (;;) {
    absl::StatusOr<std::shared_ptr<ClientStream>> stream = co_await client->Accept();
    if (!stream.ok()) co_return;
    (*stream)->Reset();
  }
}

asio::awaitable<void> FollowResizes(std::shared_ptr<ClientStream> stream,
                                    Workers& workers,
                                    std::function<absl::Status(TerminalSize)> resize) {
  TerminalSizeReader reader;
  char buffer[512];
  for (;;) {
    absl::StatusOr<size_t> n = co_await stream->Read(buffer, sizeof(buffer));
    if (!n.ok() || *n == 0) co_return;
    const std::optional<TerminalSize> size = reader.Feed(absl::string_view(buffer, *n));
    if (!size.has_value()) continue;
    std::function<absl::Status()> call = [resize, size] { return resize(*size); };
    const absl::Status status = co_await RunBlocking(workers, std::move(call));
    if (!status.ok()) LogDebug("streaming.resize", {{"error", status.ToString()}});
  }
}

asio::awaitable<void> ReportOutcome(std::shared_ptr<ClientConnection> client,
                                    const ProcessStreams& streams,
                                    const Outcome& outcome) {
  const std::string message = OutcomeMessage(outcome, client->traits().status_json);
  const std::shared_ptr<ClientStream> outputs[] = {streams.out, streams.err};
  for (const std::shared_ptr<ClientStream>& output : outputs) {
    if (output == nullptr) continue;
    absl::Status ignored = co_await output->CloseWrite();
  }
  if (!message.empty()) {
    absl::Status ignored = co_await streams.error->Write(message.data(), message.size());
  }
  absl::Status ignored = co_await streams.error->CloseWrite();
  co_await client->Close();
}

absl::StatusOr<StdioEnds> MakeStdio(const SessionRequest& request, StdinForm form) {
  StdioEnds ends;
  if (request.stdin_open && form == StdinForm::kSocketPair) {
    CRISP_ASSIGN_OR_RETURN(SocketPair pair, MakeSocketPair("a socket pair", SOCK_STREAM));
    ends.ours.in = std::move(pair.ours);
    ends.theirs.in = std::move(pair.theirs);
  } else if (request.stdin_open) {
    CRISP_RETURN_IF_ERROR(Connect(ends.theirs.in, ends.ours.in));
  }
  if (request.stdout_open) CRISP_RETURN_IF_ERROR(Connect(ends.ours.out, ends.theirs.out));
  if (request.stderr_open) CRISP_RETURN_IF_ERROR(Connect(ends.ours.err, ends.theirs.err));
  return ends;
}

}  // namespace crisp::streaming
