#ifndef CRISP_CRI_SERVICE_SERVER_H_
#define CRISP_CRI_SERVICE_SERVER_H_

#include <grpcpp/server.h>

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/thread.h"
#include "base/workers.h"
#include "cri/service/listener.h"
#include "cri/service/rpc_interceptor.h"
#include "metrics/registry.h"

namespace crisp::cri {

struct ServerOptions {
  int max_message_bytes = 80 << 20;  // each way
};

// The threads that the services get. So many RPCs are served at once, each on a thread; further
// ones are answered ResourceExhausted. One thread stays, so that some RPCs are answered where no
// thread can be had.
inline constexpr WorkersOptions kRpcThreads = {.name = "rpc", .most = 1024, .least = 1};

// The gRPC server on one listening socket. Its services run every RPC on a thread of its own
// (rpc_call.h), so blocking ones do not hold up the others.
class Server {
 public:
  // Serves at once. The services and the registry must outlive the server.
  static absl::StatusOr<std::unique_ptr<Server>> Start(Listener listener,
                                                       const std::vector<grpc::Service*>& services,
                                                       metrics::Registry& registry,
                                                       const ServerOptions& options = {});
  ~Server();

  // Closes the socket. A client that connects from now on is refused, and does not wait.
  // Idempotent.
  void StopAccepting();
  // Calls StopAccepting(), gives the RPCs in flight until `grace` to end, then cancels them.
  // Idempotent. The destructor does it with a grace of a second.
  void Shutdown(absl::Duration grace);

 private:
  Server(Listener listener,
         std::unique_ptr<RpcCount> in_flight,
         std::unique_ptr<grpc::Server> grpc,
         UniqueFd wake);
  void Accept();

  Listener listener_;
  bool shut_down_ = false;
  UniqueFd wake_;                        // eventfd; readable when the acceptor is to end
  std::unique_ptr<RpcCount> in_flight_;  // counted by the interceptors
  std::unique_ptr<grpc::Server> grpc_;
  Thread acceptor_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_SERVICE_SERVER_H_
