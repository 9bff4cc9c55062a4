#ifndef CRISP_TEST_E2E_NODE_H_
#define CRISP_TEST_E2E_NODE_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "daemon.h"

namespace crisp::e2e {

using ContainerEdit = std::function<void(cri::ContainerConfig&)>;
using PodEdit = std::function<void(cri::PodSandboxConfig&)>;

struct ExecOutput {
  int exit_code = -1;
  std::string out;
  std::string err;
};

// The socket over which a node's calls go.
enum class Socket { kKubelets, kOperators };

// The calls of a kubelet, as one line each. A call fails the running test when the RPC does, unless
// its name starts with Try. Times out after 30 s.
class Node {
 public:
  // `image` as Daemon::ImportImage() returned it.
  Node(Daemon& daemon, std::string image, Socket socket = Socket::kKubelets)
      : daemon_(daemon), image_(std::move(image)), socket_(socket) {}

  cri::PodSandboxConfig PodConfig(const std::string& name, const PodEdit& edit = nullptr) const;
  cri::ContainerConfig ContainerConfig(const std::string& name,
                                       std::vector<std::string> command,
                                       const ContainerEdit& edit = nullptr) const;

  // True if this node runs pods with a user namespace. Before Linux 6.3 the node refuses them and
  // says why.
  bool RunsUserNamespaces();

  std::string RunPod(const cri::PodSandboxConfig& config);
  std::string Create(const std::string& pod,
                     const cri::PodSandboxConfig& pod_config,
                     const cri::ContainerConfig& config);
  void StartContainer(const std::string& container);
  // Creates and starts a container.
  std::string Run(const std::string& pod,
                  const cri::PodSandboxConfig& pod_config,
                  const cri::ContainerConfig& config);
  void Stop(const std::string& container, int64_t timeout_seconds);
  void Remove(const std::string& container);
  void StopPod(const std::string& pod);
  void RemovePod(const std::string& pod);
  ExecOutput Exec(const std::string& container,
                  std::vector<std::string> command,
                  int64_t timeout = 10);
  // Runs `sh -c script` in the container and returns its stdout without the trailing newline.
  std::string Shell(const std::string& container, const std::string& script);

  cri::ContainerStatus Status(const std::string& container);
  cri::PodSandboxStatus PodStatus(const std::string& pod);
  std::vector<cri::Container> Containers();
  std::vector<cri::PodSandbox> Pods();
  // Polls until the container has the state; fails after 20 s.
  cri::ContainerStatus Await(const std::string& container, cri::ContainerState state);
  std::string Log(const std::string& pod_name, const std::string& container_name) const;

  grpc::Status TryRunPod(const cri::PodSandboxConfig& config,
                         std::string* id,
                         absl::Duration timeout = absl::Seconds(30));
  grpc::Status TryCreate(const std::string& pod,
                         const cri::PodSandboxConfig& pod_config,
                         const cri::ContainerConfig& config,
                         std::string* id,
                         absl::Duration timeout = absl::Seconds(30));
  grpc::Status TryStart(const std::string& container, absl::Duration timeout = absl::Seconds(30));
  grpc::Status TryStop(const std::string& container,
                       int64_t timeout_seconds,
                       absl::Duration timeout = absl::Seconds(30));
  grpc::Status TryRemove(const std::string& container, absl::Duration timeout = absl::Seconds(30));
  grpc::Status TryStopPod(const std::string& pod, absl::Duration timeout = absl::Seconds(30));
  grpc::Status TryRemovePod(const std::string& pod, absl::Duration timeout = absl::Seconds(30));

  // Stops and removes everything that the daemon knows. Afterwards it must know nothing.
  void RemoveAll();

  const std::string& image() const { return image_; }

 private:
  cri::RuntimeService::Stub& Runtime() const {
    return socket_ == Socket::kKubelets ? daemon_.runtime() : daemon_.operators_runtime();
  }

  Daemon& daemon_;
  std::string image_;
  const Socket socket_;
};

}  // namespace crisp::e2e

#endif  // CRISP_TEST_E2E_NODE_H_
