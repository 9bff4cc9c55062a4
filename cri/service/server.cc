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

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(Listener listener,
                                                      const std::vector<grpc::Service*>& services,
                                                      metrics::Registry& registry,
                                                      const ServerOptions& options) {
  UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return ErrnoError(errno, "make an eventfd");
  auto in_flight = std::make_unique<RpcCount>();
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  builder.SetMaxSendMessageSize(options.max_message_bytes);
  for (grpc::Service* service : services) builder.RegisterService(service);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(MakeRpcInterceptor(registry, *in_flight));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  std::unique_ptr<grpc::Server> grpc = builder.BuildAndStart();
  if (grpc == nullptr) return absl::InternalError("gRPC could not start its server");
  auto server = std::unique_ptr<Server>(
      new Server(std::move(listener), std::move(in_flight), std::move(grpc), std::move(wake)));
  CRISP_ASSIGN_OR_RETURN(server->acceptor_,
                         Thread::Start("accept", [s = server.get()] { s->Accept(); }));
  return server;
}

Server::Server(Listener listener,
               std::unique_ptr<RpcCount> in_flight,
               std::unique_ptr<grpc::Server> grpc,
               UniqueFd wake)
    : listener_(std::move(listener)),
      wake_(std::move(wake)),
      in_flight_(std::move(in_flight)),
      grpc_(std::move(grpc)) {}

void Server::Accept() {
  pollfd waits[] = {{.fd = listener_.fd(), .events = POLLIN},
                    {.fd = wake_.get(), .events = POLLIN}};
  while (true) {
    if (poll(waits, 2, -1) < 0 && errno != EINTR) {
      LogError("waiting for connections failed", {{"error", ErrnoError(errno, "poll").message()}});
      absl::SleepFor(kAcceptPause);
      continue;
    }
    if (waits[1].revents != 0) return;
    if (waits[0].revents == 0) continue;
    UniqueFd connection(accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (connection) {
      grpc::AddInsecureChannelFromFd(grpc_.get(), connection.release());
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
      // Out of descriptors or memory: the connection waits in the backlog.
      const absl::Status error = ErrnoError(errno, "accept");
      LogError("connection refused", {{"error", error.message()}});
      absl::SleepFor(kAcceptPause);
    }
  }
}

void Server::StopAccepting() {
  if (!acceptor_.joinable()) return;
  const uint64_t one = 1;
  if (write(wake_.get(), &one, sizeof(one)) != sizeof(one)) {
    LogError("waking the acceptor failed");  // an eventfd at 0 takes a 1
  }
  acceptor_.Join();
  const Listener closed = std::move(listener_);
}

void Server::Shutdown(absl::Duration grace) {
  if (shut_down_) return;
  shut_down_ = true;
  StopAccepting();
  // gRPC's own grace waits for idle connections too, whose clients may look at them never again.
  in_flight_->AwaitNone(grace);
  grpc_->Shutdown(std::chrono::system_clock::now());
  grpc_->Wait();
}

Server::~Server() { Shutdown(kDestructorGrace); }

}  // namespace crisp::cri
