#include "metrics/exposer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>
#include <sys/socket.h>

#include <atomic>
#include <exception>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/host_port.h"
#include "base/log.h"
#include "base/status.h"
#include "base/thread.h"
#include "base/unique_fd.h"

namespace crisp::metrics {
namespace {

// civetweb's threads have stacks of about 100 KiB, which nobody who writes a scrape callback thinks
// of: the values are collected on a thread with an ordinary one.
class OnOrdinaryStack : public prometheus::Collectable {
 public:
  explicit OnOrdinaryStack(std::shared_ptr<prometheus::Collectable> inner)
      : inner_(std::move(inner)) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    std::vector<prometheus::MetricFamily> result;
    absl::StatusOr<Thread> collecting =
        Thread::Start("scrape", [&] { result = inner_->Collect(); });
    if (!collecting.ok()) {
      LogWarning("scrape without values", {{"error", collecting.status().message()}});
      return result;
    }
    collecting->Join();
    return result;
  }

 private:
  const std::shared_ptr<prometheus::Collectable> inner_;
};

// The kernel's reason for refusing a socket there. civetweb only says that it failed.
std::string WhyNot(const HostPort& at, absl::string_view otherwise) {
  const addrinfo hints{.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
  addrinfo* list = nullptr;
  if (const int failed =
          getaddrinfo(at.BareHost().c_str(), absl::StrCat(at.port).c_str(), &hints, &list);
      failed != 0) {
    return gai_strerror(failed);
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(list, freeaddrinfo);
  const UniqueFd socket(::socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int one = 1;
  if (socket && setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
      bind(socket.get(), list->ai_addr, list->ai_addrlen) == 0 && listen(socket.get(), 1) == 0) {
    return std::string(otherwise);
  }
  return std::string(ErrnoError(errno, "listen").message());
}

// Makes the thread that listens wake up, by a connection that is closed at once.
void WakeListener(const std::string& host, int port) {
  sockaddr_in v4{.sin_family = AF_INET,
                 .sin_port = htons(static_cast<uint16_t>(port)),
                 .sin_addr = {},
                 .sin_zero = {}};
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = v4.sin_port;
  const bool is_v4 = inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1;
  if (!is_v4 && inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) != 1) return;
  const UniqueFd socket(
      ::socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return;
  (void)connect(socket.get(),
                is_v4 ? reinterpret_cast<sockaddr*>(&v4) : reinterpret_cast<sockaddr*>(&v6),
                is_v4 ? sizeof(v4) : sizeof(v6));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Exposer>> Exposer::Start(const std::string& address,
                                                        const Registry& registry) {
  const absl::StatusOr<HostPort> at = HostPort::Parse(address);
  if (!at.ok()) return Annotate(at.status(), "metrics address");
  try {
    // civetweb wants a thread per connection that it serves at once. Some are for scrapers and
    // people, some for clients that connect and say nothing: it waits for these for a second.
    auto server = std::make_unique<prometheus::Exposer>(std::vector<std::string>{
        "listening_ports", address, "num_threads", "8", "request_timeout_ms", "1000"});
    auto collectable = std::make_shared<OnOrdinaryStack>(registry.collectable());
    server->RegisterCollectable(collectable);
    auto exposer = std::unique_ptr<Exposer>(new Exposer(std::move(server), at->BareHost()));
    exposer->registry_ = std::move(collectable);
    return exposer;
  } catch (const std::exception& error) {
    return absl::UnavailableError(
        absl::StrCat("serve metrics on ", address, ": ", WhyNot(*at, error.what())));
  }
}

Exposer::Exposer(std::unique_ptr<prometheus::Exposer> server, std::string host)
    : host_(std::move(host)), server_(std::move(server)) {}

// The thread that listens looks if it is to end when somebody connects, and every two seconds.
Exposer::~Exposer() {
  std::atomic<bool> ended = false;
  const int at = port();
  // Without a thread for it, that takes those two seconds.
  absl::StatusOr<Thread> waking = Thread::Start("wake-listener", [&] {
    while (!ended) {
      absl::SleepFor(absl::Milliseconds(5));
      WakeListener(host_, at);
    }
  });
  server_.reset();
  ended = true;  // and the thread is waited for
}

int Exposer::port() const {
  const auto ports = server_->GetListeningPorts();
  return ports.empty() ? 0 : ports.front();
}

}  // namespace crisp::metrics
