#ifndef CRISP_BENCH_CLIENT_CLIENT_H_
#define CRISP_BENCH_CLIENT_CLIENT_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/samples/samples.h"
#include "cri/api/api.grpc.pb.h"

namespace crisp::bench {

namespace cri = ::runtime::v1;

// The common properties of all pods of a run.
struct ClientOptions {
  std::string endpoint = "unix:///run/crisp/crisp.sock";
  std::string handler;  // of the RuntimeClass
  std::string image;    // already pulled
  std::string log_directory = "/tmp";
  std::string cgroup_parent;
  std::string tag = "bench";  // starts the pods' names
};

struct PodIds {
  std::string pod, container;
};

// Calls a runtime as a kubelet does and notes how long each call took. A call that fails ends the
// program. For one thread; several may share a channel.
class Client {
 public:
  explicit Client(const ClientOptions& options)
      : Client(options, grpc::CreateChannel(options.endpoint, grpc::InsecureChannelCredentials())) {
  }
  Client(const ClientOptions& options, std::shared_ptr<grpc::Channel> channel);

  // Also notes the three calls together, as "start".
  PodIds StartPod(const std::string& name, const std::vector<std::string>& command);
  // Also notes the four calls together, as "end".
  void EndPod(const PodIds& ids);
  void Exec(const PodIds& ids, const std::vector<std::string>& command);
  // Waits until the container has exited, and returns its exit code.
  int Wait(const PodIds& ids);

  std::vector<std::string> ReadyPods();
  // All pods with one container each, in whatever state.
  std::vector<PodIds> PodsWithContainers();
  std::vector<std::string> RunningContainers();
  void PodStatus(const std::string& pod);
  void ContainerStatus(const std::string& container);
  void ContainerStats();
  void PodStats();

  // Pulls the image and returns the size that the runtime then reports, in bytes.
  uint64_t Pull(const std::string& image);
  void RemoveImage(const std::string& image);

  // True if the runtime answers. For one that is starting.
  bool Answers();

  Samples& samples() { return samples_; }

 private:
  cri::PodSandboxConfig PodConfig(const std::string& name) const;
  cri::ContainerConfig ContainerConfig(const std::string& name,
                                       const std::vector<std::string>& command) const;
  template <typename Stub, typename Request, typename Response>
  void Timed(const char* name,
             Stub& stub,
             grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
             const Request& request,
             Response* response);

  const ClientOptions options_;
  std::unique_ptr<cri::RuntimeService::Stub> runtime_;
  std::unique_ptr<cri::ImageService::Stub> images_;
  Samples samples_;
};

}  // namespace crisp::bench

#endif  // CRISP_BENCH_CLIENT_CLIENT_H_
