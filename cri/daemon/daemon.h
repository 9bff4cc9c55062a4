#ifndef CRISP_CRI_DAEMON_DAEMON_H_
#define CRISP_CRI_DAEMON_DAEMON_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/operation.h"
#include "base/unique_fd.h"
#include "cri/config/config.h"
#include "cri/pods/operator_view.h"
#include "cri/pods/pod_manager.h"
#include "cri/pods/session_rpcs.h"
#include "cri/pods/streaming_backend.h"
#include "cri/service/admin_service.h"
#include "cri/service/image_service.h"
#include "cri/service/listener.h"
#include "cri/service/metrics_server.h"
#include "cri/service/runtime_service.h"
#include "cri/service/server.h"
#include "cri/state/view.h"
#include "metrics/registry.h"
#include "streaming/server/server.h"
#include "streaming/session/sessions.h"

namespace crisp::cri {

// The composition root: makes everything of one instance of crispd and wires it together.
class Daemon {
 public:
  // Takes the instance's lock (FailedPrecondition when another daemon has it), opens the stores and
  // finds the pods of an earlier daemon. Serves nothing yet. `config` must be valid.
  static absl::StatusOr<std::unique_ptr<Daemon>> Create(Config config);
  ~Daemon();

  // Serves the CRI on `listener`, to the kubelet, the operator's view of it on `for_operator`, if
  // there is such a socket, and the metrics on their address.
  absl::Status Serve(Listener listener, std::optional<Listener> for_operator);
  // Logs the daemon's state, at SIGUSR1: the numbers of what it holds, and the place where each of
  // its threads is.
  void LogState() const;
  // Stops serving: the socket is closed and event streams are ended at once. RPCs in flight get
  // until `grace`. Containers go on running.
  void Shutdown(absl::Duration grace);

 private:
  explicit Daemon(Config config) : config_(std::move(config)) {}
  absl::Status OpenStores();
  absl::Status OpenPods();
  void AddMetrics();
  void AddPodMetrics();
  absl::Status ServeStreams();
  // The services of one socket. They have no state: what they work on is the daemon's.
  struct Services {
    std::unique_ptr<RuntimeService> runtime;
    std::unique_ptr<ImageService> image;
    std::unique_ptr<AdminService> admin;
    std::vector<grpc::Service*> all() const { return {runtime.get(), image.get(), admin.get()}; }
  };
  Services MakeServices(View view, const KernelFeatures& features);

  // The members stand in the order in which they are made. Each uses only those above it.
  const Config config_;
  UniqueFd lock_;
  metrics::Registry metrics_;
  std::unique_ptr<storage::ImageStore> images_;
  std::unique_ptr<network::PodNetwork> network_;
  std::unique_ptr<PodManager> pods_;
  std::unique_ptr<OperatorView> operators_pods_;
  std::unique_ptr<StreamingBackend> streaming_backend_;
  std::unique_ptr<streaming::Sessions> sessions_;
  std::unique_ptr<streaming::Server> streaming_;
  std::unique_ptr<SessionApi> session_rpcs_ = std::make_unique<SessionApi>();
  Workers rpc_threads_{kRpcThreads};
  Services kubelet_services_, operator_services_;
  std::vector<std::shared_ptr<void>> scrapes_;
  std::unique_ptr<MetricsServer> metrics_server_;
  std::unique_ptr<Server> server_;
};

// Ends every pod of the instance that `config` describes and removes every trace of it, its images
// included. It does so whatever the instance's records, shims and plug-ins say, and waits for
// nothing for long. Returns a line for each thing elsewhere that could not be undone, for example
// because a CNI plug-in fails or is gone. FailedPrecondition while a daemon serves the instance.
absl::StatusOr<std::vector<std::string>> ResetInstance(const Config& config);

}  // namespace crisp::cri

#endif  // CRISP_CRI_DAEMON_DAEMON_H_
