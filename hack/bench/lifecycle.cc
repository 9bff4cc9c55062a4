// cri-latency: what each step of a pod's life takes through a CRI socket, whichever runtime serves it.
//
// Runs one pod with one container after another, from RunPodSandbox to RemovePodSandbox, and prints
// the percentiles of every RPC and of "start" (RunPodSandbox + CreateContainer + StartContainer) in
// microseconds, as a table or as JSON.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cri/api/api.grpc.pb.h"

namespace {

namespace cri = ::runtime::v1;
using Runtime = cri::RuntimeService::Stub;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string endpoint = "unix:///run/crisp/crisp.sock";
  std::string image;
  std::string log_directory = "/tmp";
  std::string tag = "latency";
  std::string cgroup_parent;
  int count = 100;
  int warm_up = 5;
  int keep = 0;  // this many pods are started first and stay until the end
  bool json = false;
};

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options),
        stub_(cri::RuntimeService::NewStub(
            grpc::CreateChannel(options.endpoint, grpc::InsecureChannelCredentials()))) {}

  void StartOne(const std::string& name) {
    cri::RunPodSandboxRequest run;
    run.mutable_config()->CopyFrom(PodConfig(name));
    cri::RunPodSandboxResponse ran;
    const double started = Now();
    Timed("RunPodSandbox", &Runtime::RunPodSandbox, run, &ran);
    cri::CreateContainerRequest create;
    create.set_pod_sandbox_id(ran.pod_sandbox_id());
    *create.mutable_sandbox_config() = run.config();
    auto* config = create.mutable_config();
    config->mutable_metadata()->set_name("c");
    config->mutable_image()->set_image(options_.image);
    config->add_command("sleep");
    config->add_command("1000000");
    config->set_log_path(name + ".log");
    auto* security = config->mutable_linux()->mutable_security_context();
    security->mutable_namespace_options()->set_pid(cri::NamespaceMode::CONTAINER);
    security->mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
    cri::CreateContainerResponse created;
    Timed("CreateContainer", &Runtime::CreateContainer, create, &created);
    cri::StartContainerRequest start;
    start.set_container_id(created.container_id());
    cri::StartContainerResponse ignored;
    Timed("StartContainer", &Runtime::StartContainer, start, &ignored);
    samples_["start"].push_back(Now() - started);
    pods_.emplace_back(ran.pod_sandbox_id(), created.container_id());
  }

  void ExecOne() {
    cri::ExecSyncRequest request;
    request.set_container_id(pods_.back().second);
    request.add_cmd("true");
    request.set_timeout(10);
    cri::ExecSyncResponse response;
    Timed("ExecSync", &Runtime::ExecSync, request, &response);
  }

  void EndOne() {
    const auto [pod, container] = pods_.back();
    pods_.pop_back();
    const double started = Now();
    cri::StopContainerRequest stop;
    stop.set_container_id(container);
    cri::StopContainerResponse stopped;
    Timed("StopContainer", &Runtime::StopContainer, stop, &stopped);
    cri::RemoveContainerRequest remove;
    remove.set_container_id(container);
    cri::RemoveContainerResponse removed;
    Timed("RemoveContainer", &Runtime::RemoveContainer, remove, &removed);
    cri::StopPodSandboxRequest stop_pod;
    stop_pod.set_pod_sandbox_id(pod);
    cri::StopPodSandboxResponse pod_stopped;
    Timed("StopPodSandbox", &Runtime::StopPodSandbox, stop_pod, &pod_stopped);
    cri::RemovePodSandboxRequest remove_pod;
    remove_pod.set_pod_sandbox_id(pod);
    cri::RemovePodSandboxResponse pod_removed;
    Timed("RemovePodSandbox", &Runtime::RemovePodSandbox, remove_pod, &pod_removed);
    samples_["end"].push_back(Now() - started);
  }

  void Forget() { samples_.clear(); }
  bool has_pods() const { return !pods_.empty(); }

  void Print() {
    nlohmann::json all;
    if (!options_.json) std::printf("%-18s %8s %8s %8s %8s  µs\n", "step", "min", "p50", "p95", "p99");
    for (auto& [name, values] : samples_) {
      std::sort(values.begin(), values.end());
      const auto at = [&v = values](double q) { return v[static_cast<size_t>(q * static_cast<double>(v.size() - 1))]; };
      if (options_.json) {
        all[name] = {{"min", at(0)}, {"p50", at(0.5)}, {"p95", at(0.95)}, {"p99", at(0.99)}, {"n", values.size()}};
      } else {
        std::printf("%-18s %8.0f %8.0f %8.0f %8.0f\n", name.c_str(), at(0), at(0.5), at(0.95), at(0.99));
      }
    }
    if (options_.json) std::printf("%s\n", all.dump().c_str());
  }

 private:
  static double Now() {
    return std::chrono::duration<double, std::micro>(Clock::now().time_since_epoch()).count();
  }

  cri::PodSandboxConfig PodConfig(const std::string& name) const {
    cri::PodSandboxConfig config;
    config.mutable_metadata()->set_name(name);
    config.mutable_metadata()->set_namespace_("bench");
    config.mutable_metadata()->set_uid(name);
    config.set_hostname(name);
    config.set_log_directory(options_.log_directory);
    config.mutable_linux()->set_cgroup_parent(options_.cgroup_parent);
    // What the kubelet says unless a pod shares its PID namespace.
    config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(
        cri::NamespaceMode::CONTAINER);
    return config;
  }

  template <typename Request, typename Response>
  void Timed(const char* name,
             grpc::Status (Runtime::*method)(grpc::ClientContext*, const Request&, Response*),
             const Request& request,
             Response* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    const double started = Now();
    const grpc::Status status = (*stub_.*method)(&context, request, response);
    samples_[name].push_back(Now() - started);
    if (!status.ok()) {
      std::fprintf(stderr, "%s: %s\n", name, status.error_message().c_str());
      std::exit(1);
    }
  }

  Options options_;
  std::unique_ptr<Runtime> stub_;
  std::map<std::string, std::vector<double>> samples_;
  std::vector<std::pair<std::string, std::string>> pods_;
};

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("latency of a pod's life through a CRI socket");
  app.add_option("--endpoint", options.endpoint);
  app.add_option("--image", options.image, "already pulled")->required();
  app.add_option("--log-directory", options.log_directory);
  app.add_option("--tag", options.tag, "starts the pods' names");
  app.add_option("--cgroup-parent", options.cgroup_parent);
  app.add_option("--count", options.count);
  app.add_option("--warm-up", options.warm_up);
  app.add_option("--keep", options.keep, "pods to start first and keep while measuring");
  bool hold = false;
  app.add_flag("--hold", hold, "start the kept pods, then wait for a line on stdin before removing them");
  app.add_flag("--json", options.json);
  CLI11_PARSE(app, argc, argv);

  Bench bench(options);
  for (int i = 0; i < options.keep; ++i) bench.StartOne(options.tag + "-kept-" + std::to_string(i));
  if (hold) {
    std::printf("ready\n");
    std::fflush(stdout);
    (void)std::getchar();
  } else {
    for (int i = 0; i < options.warm_up + options.count; ++i) {
      if (i == options.warm_up) bench.Forget();
      bench.StartOne(options.tag + "-" + std::to_string(i));
      bench.ExecOne();
      bench.EndOne();
    }
    bench.Print();
  }
  while (bench.has_pods()) bench.EndOne();
  return 0;
}
