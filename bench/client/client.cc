#include "bench/client/client.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace crisp::bench {
namespace {

using Runtime = cri::RuntimeService::Stub;
using Images = cri::ImageService::Stub;

constexpr auto kDeadline = std::chrono::seconds(300);

}  // namespace

Client::Client(const ClientOptions& options, std::shared_ptr<grpc::Channel> channel)
    : options_(options),
      runtime_(cri::RuntimeService::NewStub(channel)),
      images_(cri::ImageService::NewStub(channel)) {}

template <typename Stub, typename Request, typename Response>
void Client::Timed(const char* name,
                   Stub& stub,
                   grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                   const Request& request,
                   Response* response) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  const double started = Now();
  const grpc::Status status = (stub.*method)(&context, request, response);
  samples_.Add(name, Now() - started);
  if (!status.ok()) {
    std::fprintf(stderr, "%s: %s: %s\n", options_.tag.c_str(), name,
                 status.error_message().c_str());
    std::_Exit(1);  // other threads are in calls
  }
}

cri::PodSandboxConfig Client::PodConfig(const std::string& name) const {
  cri::PodSandboxConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_metadata()->set_namespace_("bench");
  config.mutable_metadata()->set_uid(name);
  config.set_hostname(name);
  config.set_log_directory(options_.log_directory);
  config.mutable_dns_config()->add_servers("10.96.0.10");
  config.mutable_linux()->set_cgroup_parent(options_.cgroup_parent);
  // The kubelet says this unless a pod shares its PID namespace.
  auto* security = config.mutable_linux()->mutable_security_context();
  security->mutable_namespace_options()->set_pid(cri::NamespaceMode::CONTAINER);
  security->mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
  return config;
}

cri::ContainerConfig Client::ContainerConfig(const std::string& name,
                                             const std::vector<std::string>& command) const {
  cri::ContainerConfig config;
  config.mutable_metadata()->set_name("c");
  config.mutable_image()->set_image(options_.image);
  for (const std::string& word : command) config.add_command(word);
  config.set_log_path(name + ".log");
  auto* linux = config.mutable_linux();
  linux->mutable_security_context()->mutable_namespace_options()->set_pid(
      cri::NamespaceMode::CONTAINER);
  linux->mutable_security_context()->mutable_seccomp()->set_profile_type(
      cri::SecurityProfile::RuntimeDefault);
  // A burstable container's; bench/floor sets the same.
  linux->mutable_resources()->set_cpu_shares(102);
  linux->mutable_resources()->set_cpu_period(100000);
  linux->mutable_resources()->set_cpu_quota(100000);
  linux->mutable_resources()->set_memory_limit_in_bytes(256 << 20);
  linux->mutable_resources()->set_oom_score_adj(1000);
  return config;
}

PodIds Client::StartPod(const std::string& name, const std::vector<std::string>& command) {
  const double started = Now();
  cri::RunPodSandboxRequest run;
  *run.mutable_config() = PodConfig(name);
  run.set_runtime_handler(options_.handler);
  cri::RunPodSandboxResponse ran;
  Timed("RunPodSandbox", *runtime_, &Runtime::RunPodSandbox, run, &ran);
  cri::CreateContainerRequest create;
  create.set_pod_sandbox_id(ran.pod_sandbox_id());
  *create.mutable_sandbox_config() = run.config();
  *create.mutable_config() = ContainerConfig(name, command);
  cri::CreateContainerResponse created;
  Timed("CreateContainer", *runtime_, &Runtime::CreateContainer, create, &created);
  cri::StartContainerRequest start;
  start.set_container_id(created.container_id());
  cri::StartContainerResponse ignored;
  Timed("StartContainer", *runtime_, &Runtime::StartContainer, start, &ignored);
  samples_.Add("start", Now() - started);
  return {ran.pod_sandbox_id(), created.container_id()};
}

void Client::EndPod(const PodIds& ids) {
  const double started = Now();
  cri::StopContainerRequest stop;
  stop.set_container_id(ids.container);
  cri::StopContainerResponse stopped;
  Timed("StopContainer", *runtime_, &Runtime::StopContainer, stop, &stopped);
  cri::RemoveContainerRequest remove;
  remove.set_container_id(ids.container);
  cri::RemoveContainerResponse removed;
  Timed("RemoveContainer", *runtime_, &Runtime::RemoveContainer, remove, &removed);
  cri::StopPodSandboxRequest stop_pod;
  stop_pod.set_pod_sandbox_id(ids.pod);
  cri::StopPodSandboxResponse pod_stopped;
  Timed("StopPodSandbox", *runtime_, &Runtime::StopPodSandbox, stop_pod, &pod_stopped);
  cri::RemovePodSandboxRequest remove_pod;
  remove_pod.set_pod_sandbox_id(ids.pod);
  cri::RemovePodSandboxResponse pod_removed;
  Timed("RemovePodSandbox", *runtime_, &Runtime::RemovePodSandbox, remove_pod, &pod_removed);
  samples_.Add("end", Now() - started);
}

void Client::Exec(const PodIds& ids, const std::vector<std::string>& command) {
  cri::ExecSyncRequest request;
  request.set_container_id(ids.container);
  for (const std::string& word : command) request.add_cmd(word);
  request.set_timeout(60);
  cri::ExecSyncResponse response;
  Timed("ExecSync", *runtime_, &Runtime::ExecSync, request, &response);
  if (response.exit_code() != 0) {
    std::fprintf(stderr, "%s: exec exited with %d: %s\n", options_.tag.c_str(),
                 response.exit_code(), response.stderr().c_str());
    std::_Exit(1);
  }
}

int Client::Wait(const PodIds& ids) {
  while (true) {
    cri::ContainerStatusRequest request;
    request.set_container_id(ids.container);
    cri::ContainerStatusResponse response;
    Timed("ContainerStatus", *runtime_, &Runtime::ContainerStatus, request, &response);
    if (response.status().state() == cri::CONTAINER_EXITED) return response.status().exit_code();
    usleep(2000);
  }
}

std::vector<std::string> Client::ReadyPods() {
  cri::ListPodSandboxRequest request;
  request.mutable_filter()->mutable_state()->set_state(cri::SANDBOX_READY);
  cri::ListPodSandboxResponse response;
  Timed("ListPodSandbox", *runtime_, &Runtime::ListPodSandbox, request, &response);
  std::vector<std::string> ids;
  for (const auto& pod : response.items()) ids.push_back(pod.id());
  return ids;
}

std::vector<std::string> Client::RunningContainers() {
  cri::ListContainersRequest request;
  request.mutable_filter()->mutable_state()->set_state(cri::CONTAINER_RUNNING);
  cri::ListContainersResponse response;
  Timed("ListContainers", *runtime_, &Runtime::ListContainers, request, &response);
  std::vector<std::string> ids;
  for (const auto& container : response.containers()) ids.push_back(container.id());
  return ids;
}

std::vector<PodIds> Client::PodsWithContainers() {
  cri::ListContainersResponse response;
  Timed("ListContainers", *runtime_, &Runtime::ListContainers, cri::ListContainersRequest(),
        &response);
  std::vector<PodIds> all;
  for (const auto& container : response.containers()) {
    all.push_back({container.pod_sandbox_id(), container.id()});
  }
  return all;
}

void Client::PodStatus(const std::string& pod) {
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod);
  cri::PodSandboxStatusResponse response;
  Timed("PodSandboxStatus", *runtime_, &Runtime::PodSandboxStatus, request, &response);
}

void Client::ContainerStatus(const std::string& container) {
  cri::ContainerStatusRequest request;
  request.set_container_id(container);
  cri::ContainerStatusResponse response;
  Timed("ContainerStatus", *runtime_, &Runtime::ContainerStatus, request, &response);
}

void Client::ContainerStats() {
  cri::ListContainerStatsResponse response;
  Timed("ListContainerStats", *runtime_, &Runtime::ListContainerStats,
        cri::ListContainerStatsRequest(), &response);
}

void Client::PodStats() {
  cri::ListPodSandboxStatsResponse response;
  Timed("ListPodSandboxStats", *runtime_, &Runtime::ListPodSandboxStats,
        cri::ListPodSandboxStatsRequest(), &response);
}

uint64_t Client::Pull(const std::string& image) {
  cri::PullImageRequest request;
  request.mutable_image()->set_image(image);
  cri::PullImageResponse response;
  Timed("PullImage", *images_, &Images::PullImage, request, &response);
  cri::ImageStatusRequest status;
  status.mutable_image()->set_image(image);
  cri::ImageStatusResponse answer;
  Timed("ImageStatus", *images_, &Images::ImageStatus, status, &answer);
  return answer.image().size();
}

void Client::RemoveImage(const std::string& image) {
  cri::RemoveImageRequest request;
  request.mutable_image()->set_image(image);
  cri::RemoveImageResponse response;
  Timed("RemoveImage", *images_, &Images::RemoveImage, request, &response);
}

bool Client::Answers() {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(1));
  cri::VersionResponse response;
  return runtime_->Version(&context, cri::VersionRequest(), &response).ok();
}

}  // namespace crisp::bench
