#include "streaming/server/testing/test_handlers.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "base/testing/eventually.h"
#include "base/testing/test_time.h"

namespace crisp::streaming {
namespace {

using Connection = std::shared_ptr<ClientConnection>;
using Stream = std::shared_ptr<ClientStream>;

asio::awaitable<void> Echo(Stream stream) {
  std::vector<char> bytes(8192);
  while (true) {
    absl::StatusOr<size_t> count = co_await stream->Read(bytes.data(), bytes.size());
    if (!count.ok()) co_return;
    if (*count == 0) break;
    absl::Status written = co_await stream->Write(bytes.data(), *count);
    if (!written.ok()) co_return;
  }
  (void)co_await stream->CloseWrite();
}

asio::awaitable<void> RunEcho(HandlerLog* log, Connection connection) {
  ++log->running;
  while (true) {
    absl::StatusOr<Stream> stream = co_await connection->Accept();
    if (!stream.ok()) {
      log->SetEnd(stream.status());
      break;
    }
    asio::co_spawn(connection->executor(), Echo(*stream), asio::detached);
  }
  ++log->finished;
}

asio::awaitable<void> RunFlood(HandlerLog* log, Connection connection, uint64_t total) {
  ++log->running;
  absl::StatusOr<Stream> stream = co_await connection->Accept();
  std::string chunk(32 << 10, 'x');
  for (uint64_t sent = 0; stream.ok() && sent < total; sent += chunk.size()) {
    absl::Status written = co_await (*stream)->Write(chunk.data(), chunk.size());
    if (!written.ok()) {
      log->SetEnd(written);
      break;
    }
    log->written += chunk.size();
  }
  if (stream.ok()) (void)co_await (*stream)->CloseWrite();
  ++log->finished;
}

asio::awaitable<void> RunDeaf(HandlerLog* log, Connection connection) {
  ++log->running;
  std::vector<Stream> streams;
  while (true) {
    absl::StatusOr<Stream> stream = co_await connection->Accept();
    if (!stream.ok()) {
      log->SetEnd(stream.status());
      break;
    }
    streams.push_back(*stream);
  }
  ++log->finished;
}

}  // namespace

void HandlerLog::SetEnd(absl::Status status) {
  absl::MutexLock lock(&mutex);
  last_end = std::move(status);
}

absl::Status HandlerLog::end() {
  absl::MutexLock lock(&mutex);
  return last_end;
}

bool HandlerLog::WaitFinished(int count) {
  return Eventually([&] { return finished >= count; });
}

bool StaysWithTraffic(absl::Duration idle, const std::function<std::function<bool()>()>& connect) {
  const absl::Time end = absl::Now() + Patience(absl::Minutes(1));
  while (absl::Now() < end) {
    const std::function<bool()> exchange = connect();
    const absl::Time begin = absl::Now();
    for (absl::Time last = begin, now = begin; now - last < idle / 2; now = absl::Now()) {
      if (now - begin > 3 * idle) return true;
      last = now;
      if (!exchange() && absl::Now() - last < idle / 2) return false;
    }
  }
  return false;
}

Handler EchoHandler(HandlerLog& log) {
  return [&log](Connection connection, SessionRequest) { return RunEcho(&log, connection); };
}

Handler FloodHandler(HandlerLog& log, uint64_t total) {
  return [&log, total](Connection connection, SessionRequest) {
    return RunFlood(&log, connection, total);
  };
}

Handler DeafHandler(HandlerLog& log) {
  return [&log](Connection connection, SessionRequest) { return RunDeaf(&log, connection); };
}

}  // namespace crisp::streaming
