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

// A listening socket and what clients find there. gRPC does not tell a service by which socket a
// call came, so services that are to answer differently at each are different objects.
struct Door {
  Listener listener;
  std::vector<grpc::Service*> services;
};

// The gRPC servers of the daemon's listening sockets, one for each. Their services run every RPC on
// a thread of its own (rpc_call.h), so blocking ones do not hold up the others. The servers have
// gRPC's threads in common, and one thread accepts for all.
class Server {
 public:
  // Serves at once. The services and the registry must outlive the server.
  static absl::StatusOr<std::unique_ptr<Server>> Start(std::vector<Door> doors,
                                                       metrics::Registry& registry,
                                                       const ServerOptions& options = {});
  // The same with one door.
  static absl::StatusOr<std::unique_ptr<Server>> Start(Listener listener,
                                                       const std::vector<grpc::Service*>& services,
                                                       metrics::Registry& registry,
                                                       const ServerOptions& options = {});
  ~Server();

  // Closes the sockets. A client that connects from now on is refused, and does not wait.
  // Idempotent.
  void StopAccepting();
  // Calls StopAccepting(), gives the RPCs in flight until `grace` to end, then cancels them.
  // Idempotent. The destructor does it with a grace of a second.
  void Shutdown(absl::Duration grace);

 private:
  // The same index in both.
  struct Open {
    std::vector<Listener> listeners;
    std::vector<std::unique_ptr<grpc::Server>> servers;
  };
  Server(Open open, std::unique_ptr<RpcCount> in_flight, UniqueFd wake);
  void Accept();
  void AcceptAt(size_t door);

  bool shut_down_ = false;
  UniqueFd wake_;                        // eventfd; readable when the acceptor is to end
  std::unique_ptr<RpcCount> in_flight_;  // of all doors, counted by the interceptors
  Open open_;
  Thread acceptor_;
};

}  // namespace crisp::cri

#endif  // CRISP_CRI_SERVICE_SERVER_H_
