#include "streaming/server/server.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <exception>
#include <list>
#include <optional>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "base/thread.h"
#include "streaming/connection/transport.h"
#include "streaming/server/http_session.h"
#include "streaming/server/listener.h"
#include "streaming/server/tls.h"
#include "streaming/server/tokens.h"
#include "streaming/wire/upgrade.h"

namespace crisp::streaming {
namespace {

using asio::ip::tcp;
using boost::system::error_code;

constexpr int kThreads = 2;
constexpr std::chrono::milliseconds kAcceptPause{100};

bool UsesTls(const TlsOptions& tls) {
  return tls.self_signed || !tls.cert_file.empty() || !tls.key_file.empty() ||
         !tls.client_ca_file.empty();
}

// "[::1]:80" and "[::1]" give "::1", "node:80" gives "node".
std::string BareHost(absl::string_view authority) {
  if (absl::ConsumePrefix(&authority, "[")) {
    return std::string(authority.substr(0, authority.find(']')));
  }
  return std::string(authority.substr(0, authority.find(':')));
}

std::vector<std::string> CertificateNames(const Server::Options& options,
                                          const TcpListener& listener) {
  std::vector<std::string> names = {"localhost", "127.0.0.1", "::1"};
  for (const std::string& authority : {listener.host, options.advertise}) {
    std::string name = BareHost(authority);
    if (!name.empty() && !absl::c_linear_search(names, name)) names.push_back(std::move(name));
  }
  return names;
}

class ServerImpl : public Server {
 public:
  ServerImpl(Options options,
             Handler handler,
             TcpListener listener,
             std::unique_ptr<TlsKeys> keys,
             Clock& clock)
      : clock_(clock),
        options_(std::move(options)),
        handler_(std::move(handler)),
        keys_(std::move(keys)),
        tokens_(options_.token_ttl, options_.token_cap, clock),
        host_(std::move(listener.host)),
        port_(listener.port),
        family_(listener.family),
        work_(asio::make_work_guard(context_)),
        accept_strand_(asio::make_strand(context_)),
        listener_(accept_strand_, listener.fd.release()),
        accept_pause_(accept_strand_) {}

  absl::Status Begin() {
    for (int i = 0; i < kThreads; ++i) {
      CRISP_ASSIGN_OR_RETURN(Thread thread, Thread::Start("streaming", [this] { RunThread(); }));
      threads_.push_back(std::move(thread));
    }
    absl::MutexLock lock(&mutex_);
    accepting_ = true;
    asio::co_spawn(accept_strand_, AcceptLoop(), asio::detached);
    return absl::OkStatus();
  }

  ~ServerImpl() override {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
      for (const auto& [id, entry] : sessions_) {
        FailSoon(entry.session, absl::CancelledError("the streaming server stops"));
      }
    }
    asio::post(accept_strand_, [this] {
      error_code ignored;
      listener_.close(ignored);
      accept_pause_.cancel();
    });
    {
      absl::MutexLock lock(&mutex_);
      auto all_gone = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
        return sessions_.empty() && !accepting_;
      };
      mutex_.Await(absl::Condition(&all_gone));
    }
    work_.reset();
    for (Thread& thread : threads_) thread.Join();
  }

  absl::StatusOr<std::string> Prepare(SessionRequest request) override {
    SessionRequest::Kind kind = request.kind;
    CRISP_ASSIGN_OR_RETURN(std::string token, tokens_.Add(std::move(request)));
    return absl::StrCat(keys_ != nullptr ? "https://" : "http://", Authority(), "/", PathOf(kind),
                        "/", token);
  }

  int port() const override { return port_; }

  size_t connections() const override {
    absl::MutexLock lock(&mutex_);
    return sessions_.size();
  }

 private:
  std::string Authority() const {
    if (options_.advertise.empty()) {
      bool any = host_ == "0.0.0.0" || host_ == "[::]";
      absl::string_view loopback = family_ == AF_INET6 ? "[::1]" : "127.0.0.1";
      return absl::StrCat(any ? loopback : absl::string_view(host_), ":", port_);
    }
    size_t colon = options_.advertise.rfind(':');
    bool has_port =
        colon != std::string::npos && options_.advertise.find(']', colon) == std::string::npos;
    return has_port ? options_.advertise : absl::StrCat(options_.advertise, ":", port_);
  }

  void RunThread() {
    while (true) {
      try {
        context_.run();
        return;
      } catch (const std::exception& error) {
        LogError("streaming thread", {{"error", error.what()}});
      }
    }
  }

  // One connection. Without a token it is in strangers_.
  struct Entry {
    std::shared_ptr<HttpSession> session;
    std::optional<std::list<const HttpSession*>::iterator> stranger;
    bool dropped = false;  // else it is admitted, once it is no stranger any more
    std::string pod;
  };

  static void FailSoon(const std::shared_ptr<HttpSession>& session, absl::Status why) {
    asio::post(session->executor(), [session, why] { session->Fail(why); });
  }

  absl::Status Admitted(const HttpSession& session, const SessionRequest& request) {
    absl::MutexLock lock(&mutex_);
    Entry& entry = sessions_.at(&session);
    if (!entry.stranger.has_value()) return absl::UnavailableError("the connection was dropped");
    if (admitted_ >= static_cast<size_t>(options_.connection_cap)) {
      return absl::ResourceExhaustedError("too many streaming connections");
    }
    size_t& of_pod = by_pod_[request.pod_id];
    if (of_pod >= static_cast<size_t>(options_.pod_cap)) {
      return absl::ResourceExhaustedError(
          absl::StrCat("too many streaming connections to one pod: ", of_pod));
    }
    ++of_pod;
    ++admitted_;
    entry.pod = request.pod_id;
    strangers_.erase(*entry.stranger);
    entry.stranger.reset();
    return absl::OkStatus();
  }

  void DropOldestStranger() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Entry& oldest = sessions_.at(strangers_.front());
    strangers_.pop_front();
    oldest.stranger.reset();
    oldest.dropped = true;
    FailSoon(oldest.session, absl::ResourceExhaustedError("too many clients without a token"));
  }

  asio::awaitable<void> AcceptLoop() {
    while (true) {
      error_code error;
      co_await listener_.async_wait(asio::posix::stream_descriptor::wait_read,
                                    asio::redirect_error(asio::use_awaitable, error));
      if (error) break;
      absl::StatusOr<UniqueFd> client = AcceptTcp(listener_.native_handle());
      if (client.ok()) {
        Admit(std::move(*client));
      } else if (absl::IsResourceExhausted(client.status())) {
        LogWarning("streaming", {{"error", client.status().message()}});
        accept_pause_.expires_after(kAcceptPause);
        co_await accept_pause_.async_wait(asio::redirect_error(asio::use_awaitable, error));
      }
    }
    absl::MutexLock lock(&mutex_);
    accepting_ = false;
  }

  void Admit(UniqueFd client) {
    tcp::socket socket(asio::make_strand(context_));
    error_code error;
    socket.assign(family_ == AF_INET6 ? tcp::v6() : tcp::v4(), client.get(), error);
    if (error) return;
    client.release();
    std::shared_ptr<Transport> transport =
        keys_ == nullptr ? Transport::Plain(std::move(socket))
                         : Transport::Tls(std::move(socket), keys_->Get(clock_.Now()));
    std::shared_ptr<HttpSession> session;
    {
      absl::MutexLock lock(&mutex_);
      // The second sum is of those that are being dropped.
      if (stopping_ || sessions_.size() >= admitted_ + 2 * options_.stranger_cap) return;
      if (strangers_.size() >= options_.stranger_cap) DropOldestStranger();
      session =
          std::make_shared<HttpSession>(std::move(transport), options_, tokens_, handler_, admit_);
      strangers_.push_back(session.get());
      sessions_[session.get()] = {.session = session, .stranger = std::prev(strangers_.end())};
    }
    asio::co_spawn(session->executor(), Run(session), asio::detached);
  }

  asio::awaitable<void> Run(std::shared_ptr<HttpSession> session) {
    co_await session->Run();
    absl::MutexLock lock(&mutex_);
    const auto found = sessions_.find(session.get());
    const Entry& entry = found->second;
    if (entry.stranger.has_value()) {
      strangers_.erase(*entry.stranger);
    } else if (!entry.dropped) {
      --admitted_;
      const auto of_pod = by_pod_.find(entry.pod);
      if (--of_pod->second == 0) by_pod_.erase(of_pod);
    }
    sessions_.erase(found);
  }

  Clock& clock_;
  const Options options_;
  const Handler handler_;
  const HttpSession::Admit admit_ = [this](const HttpSession& session,
                                           const SessionRequest& request) {
    return Admitted(session, request);
  };
  const std::unique_ptr<TlsKeys> keys_;  // null: plain HTTP
  Tokens tokens_;
  const std::string host_;
  const int port_;
  const int family_;

  mutable absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool accepting_ ABSL_GUARDED_BY(mutex_) = false;  // the accepting coroutine is there
  absl::flat_hash_map<const HttpSession*, Entry> sessions_ ABSL_GUARDED_BY(mutex_);
  std::list<const HttpSession*> strangers_ ABSL_GUARDED_BY(mutex_);  // the oldest is in front
  size_t admitted_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<std::string, size_t> by_pod_ ABSL_GUARDED_BY(mutex_);  // the admitted

  asio::io_context context_{kThreads};
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  asio::strand<asio::io_context::executor_type> accept_strand_;
  asio::posix::stream_descriptor listener_;
  asio::steady_timer accept_pause_;
  std::vector<Thread> threads_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(Options options,
                                                      Handler handler,
                                                      Clock& clock) {
  CRISP_ASSIGN_OR_RETURN(TcpListener listener, ListenTcp(options.address));
  std::unique_ptr<TlsKeys> keys;
  if (UsesTls(options.tls)) {
    CRISP_ASSIGN_OR_RETURN(
        keys, TlsKeys::Load(options.tls, CertificateNames(options, listener), clock.Now()));
  }
  auto server = std::make_unique<ServerImpl>(std::move(options), std::move(handler),
                                             std::move(listener), std::move(keys), clock);
  CRISP_RETURN_IF_ERROR(server->Begin());
  return server;
}

}  // namespace crisp::streaming
