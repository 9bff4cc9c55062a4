#include "cri/pods/pod_inputs.h"

#include <algorithm>
#include <climits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "cri/spec/check_message.h"
#include "cri/spec/operator_asks.h"
#include "cri/spec/spec_builder.h"

namespace crisp::cri {
namespace {

// Every pod with a network of its own has these, and every spare before it is a pod.
constexpr char kLowestPort[] = "net.ipv4.ip_unprivileged_port_start";
constexpr char kPingGroups[] = "net.ipv4.ping_group_range";

}  // namespace

absl::Status CheckPodRequest(const v1::RunPodSandboxRequest& request) {
  const v1::PodSandboxConfig& config = request.config();
  if (!config.has_metadata() || config.metadata().name().empty()) {
    return absl::InvalidArgumentError("config.metadata: a pod sandbox needs a name");
  }
  CRISP_RETURN_IF_ERROR(CheckMessage(config, "config"));
  const v1::LinuxSandboxSecurityContext& context = config.linux().security_context();
  if (context.has_run_as_group() && !context.has_run_as_user()) {
    return absl::InvalidArgumentError("run_as_group: needs run_as_user beside it");
  }
  if (config.hostname().size() > 64) {
    return absl::InvalidArgumentError("hostname: longer than the kernel's 64 bytes");
  }
  // It goes into /etc/hosts.
  for (const unsigned char c : config.hostname()) {
    if (!absl::ascii_isgraph(c) || c == '/' || c == '#') {
      return absl::InvalidArgumentError(
          "hostname: holds a blank, a control character, a slash or a hash");
    }
  }
  const std::string& logs = config.log_directory();
  if (!logs.empty() && (logs[0] != '/' || logs.size() >= PATH_MAX)) {
    return absl::InvalidArgumentError(
        "log_directory: must be an absolute path of less than 4096 bytes");
  }
  // Also to remove a group one has to be able to name it: with ours below it.
  for (absl::string_view part : absl::StrSplit(config.linux().cgroup_parent(), '/')) {
    if (part.size() <= NAME_MAX && config.linux().cgroup_parent().size() <= PATH_MAX / 2) continue;
    return absl::InvalidArgumentError("linux.cgroup_parent: is longer than the kernel's paths");
  }
  CRISP_RETURN_IF_ERROR(MakeAttachRequest("", config).status());
  return CheckPodNamespaces(context.namespace_options());
}

absl::Status CheckFeatures(const v1::PodSandboxConfig& config, const runtime::Features& features) {
  const v1::UserNamespace& userns =
      config.linux().security_context().namespace_options().userns_options();
  if (features.no_user_namespaces.empty() || userns.mode() != v1::POD || userns.uids_size() == 0)
    return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "userns_options: this node runs no pods with a user namespace (hostUsers: false): ",
      features.no_user_namespaces));
}

absl::StatusOr<runtime::PodSpec> MakePodSpec(const std::string& id,
                                             const v1::PodSandboxConfig& config) {
  const v1::NamespaceOption& options = config.linux().security_context().namespace_options();
  runtime::PodSpec spec{.pod_id = id,
                        .hostname = config.hostname(),
                        .host_network = options.network() == v1::NODE,
                        .host_ipc = options.ipc() == v1::NODE,
                        .shared_pid = options.pid() == v1::POD};
  CRISP_ASSIGN_OR_RETURN(spec.uid_maps, ToIdMaps(options.userns_options().uids()));
  CRISP_ASSIGN_OR_RETURN(spec.gid_maps, ToIdMaps(options.userns_options().gids()));
  if (!spec.host_network) {
    // Ports below 1024 and ICMP sockets need no privilege inside a pod's own network.
    spec.sysctls[kLowestPort] = "0";
    if (spec.uid_maps.empty()) spec.sysctls[kPingGroups] = "0 2147483647";
  }
  for (const auto& [key, value] : config.linux().sysctls()) {
    spec.sysctls[key] = value;
  }
  return spec;
}

absl::StatusOr<runtime::PodSpec> UsualPodSpec() { return MakePodSpec("", v1::PodSandboxConfig()); }

absl::StatusOr<network::AttachRequest> MakeAttachRequest(const std::string& id,
                                                         const v1::PodSandboxConfig& config) {
  network::AttachRequest request{.pod_id = id,
                                 .pod_name = config.metadata().name(),
                                 .pod_namespace = config.metadata().namespace_(),
                                 .pod_uid = config.metadata().uid(),
                                 .cgroup_parent = config.linux().cgroup_parent()};
  for (const v1::PortMapping& port : config.port_mappings()) {
    if (port.host_port() <= 0) continue;
    if (port.host_port() > 65535 || port.container_port() <= 0 || port.container_port() > 65535) {
      return absl::InvalidArgumentError(absl::StrCat("port_mappings: ", port.host_port(), " to ",
                                                     port.container_port(), " is out of range"));
    }
    const network::Protocol protocol = port.protocol() == v1::UDP    ? network::Protocol::kUdp
                                       : port.protocol() == v1::SCTP ? network::Protocol::kSctp
                                                                     : network::Protocol::kTcp;
    request.ports.push_back({.protocol = protocol,
                             .container_port = static_cast<uint16_t>(port.container_port()),
                             .host_port = static_cast<uint16_t>(port.host_port()),
                             .host_ip = port.host_ip()});
  }
  for (const auto& [key, value] : config.annotations()) request.annotations[key] = value;
  const v1::DNSConfig& dns = config.dns_config();
  request.dns_servers.assign(dns.servers().begin(), dns.servers().end());
  request.dns_searches.assign(dns.searches().begin(), dns.searches().end());
  request.dns_options.assign(dns.options().begin(), dns.options().end());
  return request;
}

bool TakesPreparedNetwork(const v1::PodSandboxConfig& config) {
  return !config.annotations().contains(network::kIngressBandwidth) &&
         !config.annotations().contains(network::kEgressBandwidth);
}

bool IsAttached(const state::PodRecord& record) {
  return !UsesHostNetwork(record.config()) && !AsksOf(record).no_network;
}

network::Sysctls TakeNetworkSysctls(runtime::PodSpec& spec) {
  network::Sysctls taken;
  std::erase_if(spec.sysctls, [&taken](const auto& sysctl) {
    const auto& [name, value] = sysctl;
    if (!absl::StartsWith(name, "net.") || name == kLowestPort || name == kPingGroups) return false;
    taken.push_back({name, value});
    return true;
  });
  return taken;
}

}  // namespace crisp::cri
