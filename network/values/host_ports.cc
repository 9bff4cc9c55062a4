#include "network/values/host_ports.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace crisp::network {

absl::string_view ProtocolName(Protocol protocol) {
  switch (protocol) {
    case Protocol::kUdp:
      return "udp";
    case Protocol::kSctp:
      return "sctp";
    case Protocol::kTcp:
      break;
  }
  return "tcp";
}

bool HostPort::Collides(const HostPort& other) const {
  if (protocol != other.protocol || host_port != other.host_port) return false;
  if (!host_ip || !other.host_ip) return true;
  if (host_ip->is_v6() != other.host_ip->is_v6()) return false;
  return host_ip->is_unspecified() || other.host_ip->is_unspecified() || *host_ip == *other.host_ip;
}

std::string HostPort::ToString() const {
  if (!host_ip) return absl::StrCat(ProtocolName(protocol), " ", host_port);
  return absl::StrCat(ProtocolName(protocol), " ", host_ip->is_v6() ? "[" : "", host_ip->ToString(),
                      host_ip->is_v6() ? "]:" : ":", host_port);
}

absl::StatusOr<std::vector<HostPort>> CheckHostPorts(const std::vector<PortMapping>& mappings) {
  if (mappings.size() > 4096) {
    return absl::InvalidArgumentError(
        absl::StrCat("a pod with ", mappings.size(), " port mappings: at most 4096 are possible"));
  }
  std::vector<HostPort> ports;
  for (const PortMapping& mapping : mappings) {
    if (mapping.host_port == 0) continue;
    HostPort port{.protocol = mapping.protocol,
                  .host_port = mapping.host_port,
                  .container_port = mapping.container_port};
    if (mapping.container_port == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("host port ", port.ToString(), " has no container port"));
    }
    if (!mapping.host_ip.empty()) {
      absl::StatusOr<IpAddress> address = IpAddress::Parse(mapping.host_ip);
      if (!address.ok()) {
        return Annotate(address.status(), absl::StrCat("host port ", mapping.host_port));
      }
      port.host_ip = *address;
    }
    const auto same = std::find_if(ports.begin(), ports.end(),
                                   [&](const HostPort& other) { return port.Collides(other); });
    if (same == ports.end()) {
      ports.push_back(port);
    } else if (!(*same == port)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "host port ", port.ToString(), " is given to two container ports: ", same->container_port,
          " and ", port.container_port));
    }
  }
  return ports;
}

absl::Status HostPortOwners::Claim(const std::string& pod_id,
                                   const std::string& pod_name,
                                   const std::vector<HostPort>& ports) {
  for (const HostPort& port : ports) {
    const auto it = owners_.find({port.protocol, port.host_port});
    if (it == owners_.end()) continue;
    for (const Owner& owner : it->second) {
      if (owner.pod_id == pod_id || !owner.port.Collides(port)) continue;
      return absl::AlreadyExistsError(absl::StrCat("host port ", port.ToString(),
                                                   " is taken by pod ", owner.pod_name, " (",
                                                   owner.pod_id, ")"));
    }
  }
  for (const HostPort& port : ports) {
    owners_[{port.protocol, port.host_port}].push_back({port, pod_id, pod_name});
  }
  return absl::OkStatus();
}

void HostPortOwners::Release(const std::string& pod_id) {
  for (auto it = owners_.begin(); it != owners_.end();) {
    std::erase_if(it->second, [&](const Owner& owner) { return owner.pod_id == pod_id; });
    if (it->second.empty()) {
      owners_.erase(it++);
    } else {
      ++it;
    }
  }
}

}  // namespace crisp::network
