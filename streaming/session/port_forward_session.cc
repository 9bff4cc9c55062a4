#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "streaming/session/pump.h"
#include "streaming/session/sessions.h"
#include "streaming/session/tasks.h"

namespace crisp::streaming {
namespace {

// One forwarded TCP connection: the client's two streams and our socket in the pod.
struct Pair {
  explicit Pair(const asio::any_io_executor& strand)
      : executor(strand), timer(strand), changed(strand) {}
  const asio::any_io_executor executor;
  std::shared_ptr<ClientStream> data, error;
  uint16_t port = 0;
  asio::steady_timer timer;  // until both streams are there
  std::unique_ptr<OutputPump> socket;
  int copying = 0;
  bool failed = false;
  Condition changed;

  void Reset() {
    if (data != nullptr) data->Reset();
    if (error != nullptr) error->Reset();
    if (socket != nullptr) socket->Close();
  }
};
using PairPtr = std::shared_ptr<Pair>;

std::string HeaderOf(const ClientStream& stream, const char* name) {
  const auto found = stream.headers().find(name);
  return found == stream.headers().end() ? "" : found->second;
}

class PortForwardSession {
 public:
  PortForwardSession(SessionContext context,
                     std::shared_ptr<ClientConnection> client,
                     SessionRequest request)
      : context_(context),
        client_(std::move(client)),
        request_(std::move(request)),
        tasks_(client_->executor(), [this] { client_->Abort(); }) {}

  asio::awaitable<void> Run();

 private:
  void Take(std::shared_ptr<ClientStream> stream);
  std::string MakeUpId(const std::string& type);
  asio::awaitable<void> Forward(std::string id, PairPtr pair);
  asio::awaitable<absl::Status> Connect(PairPtr pair);
  asio::awaitable<absl::Status> ConnectTo(PairPtr pair, int family);
  asio::awaitable<void> CopyToClient(PairPtr pair);
  asio::awaitable<void> CopyToPod(PairPtr pair);

  const SessionContext context_;
  const std::shared_ptr<ClientConnection> client_;
  const SessionRequest request_;
  std::map<std::string, PairPtr> pairs_;  // by request id
  uint64_t unnamed_ = 0;                  // error streams that came without one
  bool ended_ = false;
  Tasks tasks_;
};

asio::awaitable<void> PortForwardSession::Run() {
  for (;;) {
    absl::StatusOr<std::shared_ptr<ClientStream>> stream = co_await client_->Accept();
    if (!stream.ok()) break;
    Take(*std::move(stream));
  }
  ended_ = true;
  for (const auto& [id, pair] : pairs_) {
    pair->timer.cancel();
    pair->Reset();
  }
  co_await tasks_.Join();
  pairs_.clear();
}

// The first clients sent no ids, but each pair's error stream right before its data stream. No
// client's own id starts with a space: headers are trimmed.
std::string PortForwardSession::MakeUpId(const std::string& type) {
  if (type == kStreamTypeError) ++unnamed_;
  return absl::StrCat(" ", unnamed_);
}

// Puts a stream to its sister, or resets it when it cannot be meant.
void PortForwardSession::Take(std::shared_ptr<ClientStream> stream) {
  const std::string type = HeaderOf(*stream, kStreamTypeHeader);
  std::string id = HeaderOf(*stream, kRequestIdHeader);
  const bool unnamed = id.empty();
  if (unnamed) id = MakeUpId(type);
  uint32_t port = 0;
  const bool good = (type == kStreamTypeData || type == kStreamTypeError) &&
                    absl::SimpleAtoi(HeaderOf(*stream, kPortHeader), &port) && port >= 1 &&
                    port <= UINT16_MAX;
  const auto found = pairs_.find(id);
  const bool orphan = unnamed && type == kStreamTypeData && found == pairs_.end();
  if (!good || orphan || (found == pairs_.end() && pairs_.size() >= context_.options.pair_cap)) {
    stream->Reset();
    return;
  }
  PairPtr pair = found != pairs_.end() ? found->second : nullptr;
  if (pair == nullptr) {
    pair = std::make_shared<Pair>(client_->executor());
    pair->port = static_cast<uint16_t>(port);
    pairs_[id] = pair;
    pair->timer.expires_after(absl::ToChronoNanoseconds(context_.options.creation_timeout));
    // Nobody but the session holds a pair: while there is one, there is the session.
    pair->timer.async_wait(
        [this, id, weak = std::weak_ptr<Pair>(pair)](boost::system::error_code error) {
          const PairPtr late = weak.lock();
          if (error || late == nullptr || (late->data != nullptr && late->error != nullptr)) return;
          late->Reset();
          if (!ended_) pairs_.erase(id);
        });
  }
  std::shared_ptr<ClientStream>& slot = type == kStreamTypeData ? pair->data : pair->error;
  if (slot != nullptr || pair->port != port) {
    stream->Reset();
    return;
  }
  slot = std::move(stream);
  if (pair->data == nullptr || pair->error == nullptr) return;
  pair->timer.cancel();
  tasks_.Spawn(Forward(id, pair));
}

asio::awaitable<void> PortForwardSession::Forward(std::string id, PairPtr pair) {
  const absl::Status connected = co_await Connect(pair);
  if (!connected.ok()) {
    const std::string text = absl::StrCat("error forwarding port ", pair->port, " to pod ",
                                          request_.id, ": ", connected.message());
    absl::Status ignored = co_await pair->error->Write(text.data(), text.size());
    ignored = co_await pair->error->CloseWrite();
    pair->data->Reset();
  } else if (!ended_) {
    pair->copying = 2;
    tasks_.Spawn(CopyToClient(pair));
    tasks_.Spawn(CopyToPod(pair));
    co_await pair->changed.Wait([&] { return pair->copying == 0; });
    // Not a word on the error stream about a connection that an application or a client broke off:
    // clients take anything there for the end of the whole session.
    if (pair->failed) pair->data->Reset();
    absl::Status ignored = co_await pair->error->CloseWrite();
  }
  if (pair->socket != nullptr) pair->socket->Close();
  if (!ended_) pairs_.erase(id);
}

// A server on either loopback address is "localhost" to a pod.
asio::awaitable<absl::Status> PortForwardSession::Connect(PairPtr pair) {
  const absl::Status first = co_await ConnectTo(pair, AF_INET);
  if (first.ok() || ended_) co_return first;
  const absl::Status second = co_await ConnectTo(pair, AF_INET6);
  co_return second.ok() ? second : first;
}

asio::awaitable<absl::Status> PortForwardSession::ConnectTo(PairPtr pair, int family) {
  std::function<absl::StatusOr<UniqueFd>()> open = [this, family] {
    return context_.backend.OpenPodSocket(request_.id, family);
  };
  absl::StatusOr<UniqueFd> fd = co_await RunBlocking(context_.workers, std::move(open));
  if (!fd.ok()) co_return fd.status();
  sockaddr_storage address = {};
  if (family == AF_INET) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&address);
    *v4 = {.sin_family = AF_INET, .sin_port = htons(pair->port)};
    v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  } else {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address);
    *v6 = {.sin6_family = AF_INET6, .sin6_port = htons(pair->port), .sin6_addr = in6addr_loopback};
  }
  const int raw = fd->get();
  pair->socket = std::make_unique<OutputPump>(pair->executor, *std::move(fd));
  boost::system::error_code error;
  pair->socket->descriptor().native_non_blocking(true, error);
  const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  const std::string what =
      absl::StrCat("connect to ", family == AF_INET ? "127.0.0.1:" : "[::1]:", pair->port);
  if (connect(raw, reinterpret_cast<sockaddr*>(&address), size) == 0) co_return absl::OkStatus();
  if (errno != EINPROGRESS) co_return ErrnoError(errno, what);
  co_await pair->socket->descriptor().async_wait(Descriptor::wait_write,
                                                 asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return absl::CancelledError(what);
  int failure = 0;
  socklen_t failure_size = sizeof(failure);
  (void)getsockopt(raw, SOL_SOCKET, SO_ERROR, &failure, &failure_size);
  // It was connected (who is not gets ECONNREFUSED) and broken off before we looked.
  if (failure == ECONNRESET) pair->failed = true;
  if (failure != 0 && failure != ECONNRESET) co_return ErrnoError(failure, what);
  co_return absl::OkStatus();
}

asio::awaitable<void> PortForwardSession::CopyToClient(PairPtr pair) {
  const CopyEnd end = co_await pair->socket->Run(*pair->data);
  if (end.side == CopyEnd::Side::kEnd) {
    absl::Status ignored = co_await pair->data->CloseWrite();
  } else {
    pair->failed = true;
    pair->data->Reset();  // ends the other direction
    pair->socket->Close();
  }
  --pair->copying;
  pair->changed.Notify();
}

asio::awaitable<void> PortForwardSession::CopyToPod(PairPtr pair) {
  Descriptor& socket = pair->socket->descriptor();
  const CopyEnd end = co_await CopyFromClient(*pair->data, socket);
  if (end.side == CopyEnd::Side::kEnd) {
    if (socket.is_open()) (void)shutdown(socket.native_handle(), SHUT_WR);
  } else {
    pair->failed = true;
    pair->socket->Close();
  }
  --pair->copying;
  pair->changed.Notify();
}

}  // namespace

asio::awaitable<void> RunPortForward(SessionContext context,
                                     std::shared_ptr<ClientConnection> client,
                                     SessionRequest request) {
  PortForwardSession session(context, std::move(client), std::move(request));
  co_await session.Run();
}

}  // namespace crisp::streaming
