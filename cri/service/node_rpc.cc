// The node's own RPCs of RuntimeService.
#include <utility>

#include "base/json.h"
#include "base/log.h"
#include "cri/service/rpc_call.h"
#include "cri/service/runtime_service.h"

namespace crisp::cri {
namespace {

void AddCondition(v1::RuntimeStatus* status,
                  const char* type,
                  bool holds,
                  const std::string& reason,
                  const std::string& message) {
  v1::RuntimeCondition* condition = status->add_conditions();
  condition->set_type(type);
  condition->set_status(holds);
  if (holds) return;
  condition->set_reason(reason);
  condition->set_message(message);
}

// Clients look these up below "config": critest reads stateDir from it, kubeadm sandboxImage.
std::string VerboseConfig(const Config& config) {
  return DumpJson({{"rootDir", config.root},
                   {"stateDir", config.state},
                   {"sandboxImage", kSandboxImage},
                   {"listen", "unix://" + config.SocketPath()},
                   {"cgroupDriver", config.runtime.cgroup_driver},
                   {"cniConfDir", config.network.cni_conf_dir},
                   {"cniBinDirs", config.network.cni_bin_dirs},
                   {"metricsAddress", config.metrics.address}});
}

}  // namespace

grpc::ServerUnaryReactor* RuntimeService::Version(grpc::CallbackServerContext* context,
                                                  const v1::VersionRequest*,
                                                  v1::VersionResponse* reply) {
  return ServeUnary(threads_, context, [=](const Operation&) {
    reply->set_version("0.1.0");  // of the kubelet's runtime API; every runtime says so
    reply->set_runtime_name(kRuntimeName);
    reply->set_runtime_version(kVersion);
    reply->set_runtime_api_version("v1");
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* RuntimeService::Status(grpc::CallbackServerContext* context,
                                                 const v1::StatusRequest* request,
                                                 v1::StatusResponse* reply) {
  return ServeUnary(threads_, context,
                    [=, this](const Operation&) { return FillStatus(*request, reply); });
}

absl::Status RuntimeService::FillStatus(const v1::StatusRequest& request,
                                        v1::StatusResponse* reply) {
  // The daemon answers only once it has recovered; who else a pod needs is asked in the background.
  const absl::Status ready = pods_.Ready();
  AddCondition(reply->mutable_status(), "RuntimeReady", ready.ok(),
               ready.ok() ? "" : "CgroupDriverNotReady", std::string(ready.message()));
  const network::NetworkCondition network = network_.Condition();
  AddCondition(reply->mutable_status(), "NetworkReady", network.ready, network.reason,
               network.message);
  for (v1::RuntimeHandler& handler : pods_.Handlers())
    *reply->add_runtime_handlers() = std::move(handler);
  reply->mutable_features()->set_supplemental_groups_policy(true);
  reply->mutable_features()->set_mount_options(true);
  reply->mutable_features()->set_user_namespaces_host_network(features_.user_namespaces);
  if (request.verbose()) (*reply->mutable_info())["config"] = VerboseConfig(config_);
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* RuntimeService::RuntimeConfig(grpc::CallbackServerContext* context,
                                                        const v1::RuntimeConfigRequest*,
                                                        v1::RuntimeConfigResponse* reply) {
  return ServeUnary(threads_, context, [=, this](const Operation&) {
    reply->mutable_linux()->set_cgroup_driver(
        config_.runtime.cgroup_driver == "systemd" ? v1::SYSTEMD : v1::CGROUPFS);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* RuntimeService::UpdateRuntimeConfig(
    grpc::CallbackServerContext* context,
    const v1::UpdateRuntimeConfigRequest* request,
    v1::UpdateRuntimeConfigResponse*) {
  return ServeUnary(threads_, context, [=, this](const Operation&) {
    const std::string& cidr = request->runtime_config().network_config().pod_cidr();
    // The kubelet sends an empty one while its node has none yet.
    if (cidr.empty()) return absl::OkStatus();
    absl::Status set = network_.SetPodCidr(cidr);
    if (set.ok()) LogInfo("pod CIDR set", {{"cidr", cidr}});
    return set;
  });
}

}  // namespace crisp::cri
