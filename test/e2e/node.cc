#include "node.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/testing/eventually.h"

namespace crisp::e2e {
namespace {

using Stub = cri::RuntimeService::Stub;

// One unary call with a deadline.
template <typename Request, typename Response>
grpc::Status Call(Stub& stub,
                  grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                  const Request& request,
                  Response* response,
                  absl::Duration timeout = absl::Seconds(30)) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  return (stub.*method)(&context, request, response);
}

void ExpectOk(const grpc::Status& status, const char* what) {
  EXPECT_TRUE(status.ok()) << what << ": " << status.error_code() << " " << status.error_message();
}

}  // namespace

cri::PodSandboxConfig Node::PodConfig(const std::string& name, const PodEdit& edit) const {
  cri::PodSandboxConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_metadata()->set_namespace_("e2e");
  config.mutable_metadata()->set_uid("uid-" + name);
  config.set_hostname(name);
  config.set_log_directory(daemon_.scratch() + "/logs/" + name);
  config.mutable_linux()->set_cgroup_parent(daemon_.cgroup_parent());
  auto* options = config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  options->set_pid(cri::NamespaceMode::CONTAINER);
  if (edit) edit(config);
  return config;
}

cri::ContainerConfig Node::ContainerConfig(const std::string& name,
                                           std::vector<std::string> command,
                                           const ContainerEdit& edit) const {
  cri::ContainerConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_image()->set_image(image_);
  config.set_log_path(name + ".log");
  for (std::string& word : command) config.add_command(std::move(word));
  auto* options = config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  options->set_pid(cri::NamespaceMode::CONTAINER);
  if (edit) edit(config);
  return config;
}

grpc::Status Node::TryRunPod(const cri::PodSandboxConfig& config,
                             std::string* id,
                             absl::Duration timeout) {
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = config;
  cri::RunPodSandboxResponse response;
  grpc::Status status = Call(Runtime(), &Stub::RunPodSandbox, request, &response, timeout);
  if (id != nullptr) *id = response.pod_sandbox_id();
  return status;
}

bool Node::RunsUserNamespaces() {
  cri::StatusResponse response;
  ExpectOk(Call(Runtime(), &Stub::Status, {}, &response), "Status");
  return response.features().user_namespaces_host_network();
}

std::string Node::RunPod(const cri::PodSandboxConfig& config) {
  std::string id;
  ExpectOk(TryRunPod(config, &id), "RunPodSandbox");
  return id;
}

grpc::Status Node::TryCreate(const std::string& pod,
                             const cri::PodSandboxConfig& pod_config,
                             const cri::ContainerConfig& config,
                             std::string* id,
                             absl::Duration timeout) {
  cri::CreateContainerRequest request;
  request.set_pod_sandbox_id(pod);
  *request.mutable_sandbox_config() = pod_config;
  *request.mutable_config() = config;
  cri::CreateContainerResponse response;
  grpc::Status status = Call(Runtime(), &Stub::CreateContainer, request, &response, timeout);
  if (id != nullptr) *id = response.container_id();
  return status;
}

std::string Node::Create(const std::string& pod,
                         const cri::PodSandboxConfig& pod_config,
                         const cri::ContainerConfig& config) {
  std::string id;
  ExpectOk(TryCreate(pod, pod_config, config, &id), "CreateContainer");
  return id;
}

grpc::Status Node::TryStart(const std::string& container, absl::Duration timeout) {
  cri::StartContainerRequest request;
  request.set_container_id(container);
  cri::StartContainerResponse response;
  return Call(Runtime(), &Stub::StartContainer, request, &response, timeout);
}

void Node::StartContainer(const std::string& container) {
  ExpectOk(TryStart(container), "StartContainer");
}

std::string Node::Run(const std::string& pod,
                      const cri::PodSandboxConfig& pod_config,
                      const cri::ContainerConfig& config) {
  std::string id = Create(pod, pod_config, config);
  if (!id.empty()) StartContainer(id);
  return id;
}

grpc::Status Node::TryStop(const std::string& container,
                           int64_t timeout_seconds,
                           absl::Duration timeout) {
  cri::StopContainerRequest request;
  request.set_container_id(container);
  request.set_timeout(timeout_seconds);
  cri::StopContainerResponse response;
  return Call(Runtime(), &Stub::StopContainer, request, &response, timeout);
}

void Node::Stop(const std::string& container, int64_t timeout_seconds) {
  ExpectOk(TryStop(container, timeout_seconds), "StopContainer");
}

grpc::Status Node::TryRemove(const std::string& container, absl::Duration timeout) {
  cri::RemoveContainerRequest request;
  request.set_container_id(container);
  cri::RemoveContainerResponse response;
  return Call(Runtime(), &Stub::RemoveContainer, request, &response, timeout);
}

void Node::Remove(const std::string& container) {
  ExpectOk(TryRemove(container), "RemoveContainer");
}

grpc::Status Node::TryStopPod(const std::string& pod, absl::Duration timeout) {
  cri::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(pod);
  cri::StopPodSandboxResponse response;
  return Call(Runtime(), &Stub::StopPodSandbox, request, &response, timeout);
}

void Node::StopPod(const std::string& pod) { ExpectOk(TryStopPod(pod), "StopPodSandbox"); }

grpc::Status Node::TryRemovePod(const std::string& pod, absl::Duration timeout) {
  cri::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(pod);
  cri::RemovePodSandboxResponse response;
  return Call(Runtime(), &Stub::RemovePodSandbox, request, &response, timeout);
}

void Node::RemovePod(const std::string& pod) { ExpectOk(TryRemovePod(pod), "RemovePodSandbox"); }

ExecOutput Node::Exec(const std::string& container,
                      std::vector<std::string> command,
                      int64_t timeout) {
  cri::ExecSyncRequest request;
  request.set_container_id(container);
  request.set_timeout(timeout);
  for (std::string& word : command) request.add_cmd(std::move(word));
  cri::ExecSyncResponse response;
  ExpectOk(Call(Runtime(), &Stub::ExecSync, request, &response), "ExecSync");
  return {response.exit_code(), response.stdout(), response.stderr()};
}

std::string Node::Shell(const std::string& container, const std::string& script) {
  const ExecOutput output = Exec(container, {"sh", "-c", script});
  EXPECT_EQ(output.exit_code, 0) << script << ": " << output.err;
  return std::string(absl::StripSuffix(output.out, "\n"));
}

cri::ContainerStatus Node::Status(const std::string& container) {
  cri::ContainerStatusRequest request;
  request.set_container_id(container);
  cri::ContainerStatusResponse response;
  ExpectOk(Call(Runtime(), &Stub::ContainerStatus, request, &response), "ContainerStatus");
  return response.status();
}

cri::PodSandboxStatus Node::PodStatus(const std::string& pod) {
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod);
  cri::PodSandboxStatusResponse response;
  ExpectOk(Call(Runtime(), &Stub::PodSandboxStatus, request, &response), "PodSandboxStatus");
  return response.status();
}

std::vector<cri::Container> Node::Containers() {
  cri::ListContainersRequest request;
  cri::ListContainersResponse response;
  ExpectOk(Call(Runtime(), &Stub::ListContainers, request, &response), "ListContainers");
  return {response.containers().begin(), response.containers().end()};
}

std::vector<cri::PodSandbox> Node::Pods() {
  cri::ListPodSandboxRequest request;
  cri::ListPodSandboxResponse response;
  ExpectOk(Call(Runtime(), &Stub::ListPodSandbox, request, &response), "ListPodSandbox");
  return {response.items().begin(), response.items().end()};
}

cri::ContainerStatus Node::Await(const std::string& container, cri::ContainerState state) {
  cri::ContainerStatus status;
  EXPECT_TRUE(Eventually([&] {
    status = Status(container);
    return status.state() == state || ::testing::Test::HasFatalFailure();
  })) << container
      << " is " << cri::ContainerState_Name(status.state()) << ", not "
      << cri::ContainerState_Name(state);
  return status;
}

std::string Node::Log(const std::string& pod_name, const std::string& container_name) const {
  const auto log =
      ReadFile(absl::StrCat(daemon_.scratch(), "/logs/", pod_name, "/", container_name, ".log"));
  return log.ok() ? *log : "";
}

void Node::RemoveAll() {
  for (const cri::PodSandbox& pod : Pods()) {
    StopPod(pod.id());
    RemovePod(pod.id());
  }
  EXPECT_THAT(Pods(), ::testing::IsEmpty());
  EXPECT_THAT(Containers(), ::testing::IsEmpty());
}

}  // namespace crisp::e2e
