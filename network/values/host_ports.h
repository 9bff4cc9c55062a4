#ifndef CRISP_NETWORK_VALUES_HOST_PORTS_H_
#define CRISP_NETWORK_VALUES_HOST_PORTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "network/values/attach.h"
#include "network/values/ip_address.h"

namespace crisp::network {

absl::string_view ProtocolName(Protocol protocol);  // "tcp", "udp", "sctp"

// One published port, checked.
struct HostPort {
  Protocol protocol = Protocol::kTcp;
  uint16_t host_port = 0;
  uint16_t container_port = 0;
  // nullopt stands for every address of both families, 0.0.0.0 or :: for every one of that family.
  std::optional<IpAddress> host_ip;

  // True if both would take the same packet.
  bool Collides(const HostPort& other) const;
  std::string ToString() const;  // "tcp 127.0.0.1:8080"
  bool operator==(const HostPort&) const = default;
};

// The published ports of a pod's mappings (host_port 0 is not published), without repetitions.
// InvalidArgument for a malformed host_ip, for container port 0, for one host port given to two
// container ports, and for more than 4096 mappings.
absl::StatusOr<std::vector<HostPort>> CheckHostPorts(const std::vector<PortMapping>& mappings);

// The owner of each host port. Not thread-safe.
class HostPortOwners {
 public:
  // Claims all of them or none. AlreadyExists, naming the owner, when another pod has one of them.
  absl::Status Claim(const std::string& pod_id,
                     const std::string& pod_name,
                     const std::vector<HostPort>& ports);
  void Release(const std::string& pod_id);

 private:
  struct Owner {
    HostPort port;
    std::string pod_id;
    std::string pod_name;
  };
  absl::flat_hash_map<std::pair<Protocol, uint16_t>, std::vector<Owner>> owners_;
};

}  // namespace crisp::network

#endif  // CRISP_NETWORK_VALUES_HOST_PORTS_H_
