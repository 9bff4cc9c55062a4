#include "cri/service/server.h"

#include <errno.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <chrono>
#include <utility>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/service/rpc_interceptor.h"

namespace crisp::cri {
namespace {

constexpr absl::Duration kDestructorGrace = absl::Seconds(1);
constexpr absl::Duration kAcceptPause = absl::Milliseconds(100);

absl::StatusOr<std::unique_ptr<grpc::Server>> Build(const std::vector<grpc::Service*>& services,
                                                    metrics::Registry& registry,
                                                    RpcCount& in_flight,
                                                    const ServerOptions& options) {
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  builder.SetMaxSendMessageSize(options.max_message_bytes);
  for (grpc::Service* service : services) builder.RegisterService(service);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(MakeRpcInterceptor(registry, in_flight));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  std::unique_ptr<grpc::Server> grpc = builder.BuildAndStart();
  if (grpc == nullptr) return absl::InternalError("gRPC could not start its server");
  return grpc;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(Listener listener,
                                                      const std::vector<grpc::Service*>& services,
                                                      metrics::Registry& registry,
                                                      const ServerOptions& options) {
  std::vector<Door> doors;
  doors.push_back({.listener = std::move(listener), .services = services});
  return Start(std::move(doors), registry, options);
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(std::vector<Door> doors,
                                                      metrics::Registry& registry,
                                                      const ServerOptions& options) {
  UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return ErrnoError(errno, "make an eventfd");
  auto in_flight = std::make_unique<RpcCount>();
  Open open;
  for (Door& door : doors) {
    CRISP_ASSIGN_OR_RETURN(std::unique_ptr<grpc::Server> grpc,
                           Build(door.services, registry, *in_flight, options));
    open.servers.push_back(std::move(grpc));
    open.listeners.push_back(std::move(door.listener));
  }
  auto server =
      std::unique_ptr<Server>(new Server(std::move(open), std::move(in_flight), std::move(wake)));
  CRISP_ASSIGN_OR_RETURN(server->acceptor_,
                         Thread::Start("accept", [s = server.get()] { s->Accept(); }));
  return server;
}

Server::Server(Open open, std::unique_ptr<RpcCount> in_flight, UniqueFd wake)
    : wake_(std::move(wake)), in_flight_(std::move(in_flight)), open_(std::move(open)) {}

void Server::Accept() {
  std::vector<pollfd> waits = {{.fd = wake_.get(), .events = POLLIN}};
  for (const Listener& listener : open_.listeners) {
    waits.push_back({.fd = listener.fd(), .events = POLLIN});
  }
  while (true) {
    if (poll(waits.data(), waits.size(), -1) < 0) {
      if (errno == EINTR) continue;
      LogError("waiting for connections failed", {{"error", ErrnoError(errno, "poll").message()}});
      absl::SleepFor(kAcceptPause);
      continue;
    }
    if (waits[0].revents != 0) return;
    for (size_t door = 0; door < open_.listeners.size(); ++door) {
      if (waits[door + 1].revents != 0) AcceptAt(door);
    }
  }
}

void Server::AcceptAt(size_t door) {
  UniqueFd connection(
      accept4(open_.listeners[door].fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (connection) {
    grpc::AddInsecureChannelFromFd(open_.servers[door].get(), connection.release());
  } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
    // Out of descriptors or memory: the connection waits in the backlog.
    const absl::Status error = ErrnoError(errno, "accept");
    LogError("connection refused", {{"error", error.message()}});
    absl::SleepFor(kAcceptPause);
  }
}

void Server::StopAccepting() {
  if (!acceptor_.joinable()) return;
  const uint64_t one = 1;
  if (write(wake_.get(), &one, sizeof(one)) != sizeof(one)) {
    LogError("waking the acceptor failed");  // an eventfd at 0 takes a 1
  }
  acceptor_.Join();
  open_.listeners.clear();
}

void Server::Shutdown(absl::Duration grace) {
  if (shut_down_) return;
  shut_down_ = true;
  StopAccepting();
  // gRPC's own grace waits for idle connections too, whose clients may look at them never again.
  in_flight_->AwaitNone(grace);
  for (const auto& server : open_.servers) server->Shutdown(std::chrono::system_clock::now());
  for (const auto& server : open_.servers) server->Wait();
}

Server::~Server() { Shutdown(kDestructorGrace); }

}  // namespace crisp::cri
