#ifndef CRISP_NETWORK_LINK_ROUTES_H_
#define CRISP_NETWORK_LINK_ROUTES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "network/values/ip_address.h"

namespace crisp::network {

// A route of the host to a network, or one of the host's own addresses.
struct Route {
  IpPrefix to;
  int link = 0;  // 0: none, or several
};

// The routes of the host's main and local tables, without default, multicast and link-local ones.
// Walks the tables, so it is not on the path of a request.
absl::StatusOr<std::vector<Route>> ListRoutes(int fd);
// Those of ListRoutes() that are not the built-in network's own: they lead neither to `bridge` nor
// to its addresses.
absl::StatusOr<std::vector<Route>> ListForeignRoutes(int fd, const std::string& bridge);
// The route that a packet of the host to `address` takes; NotFound when there is none.
absl::StatusOr<Route> RouteTo(int fd, const IpAddress& address);

// The widest of `routes` that takes packets for a part of `subnet` elsewhere than to `link`;
// nullptr if none does.
const Route* Stealer(const std::vector<Route>& routes, const IpPrefix& subnet, int link);
// True if any of `routes`, other than those to `link`, has an address of `subnet`.
bool Overlaps(const std::vector<Route>& routes, const IpPrefix& subnet, int link);

// The networks to use when none is configured, in the order in which they are tried. The list
// leaves out 10.88.0.0/16, which Podman and CNI's examples use, and the networks that these use by
// default: Docker (172.17 to 172.28, 192.168), Podman's further networks (10.89 upwards, one /24
// after another), Kubernetes' services (10.96 to 10.111), Flannel and kind (10.244), Calico
// (192.168), Cilium (10.0 upwards), k3s (10.42, 10.43), Weave (10.32 to 10.47), OpenShift (10.128
// to 10.131, 172.30), MicroK8s (10.1, 10.152), CRI-O (10.85), nerdctl (10.4), Concourse (10.80),
// AWS (172.31), Azure (10.0, 10.224, 10.240), VirtualBox and QEMU (10.0.2), libvirt (192.168.122),
// OpenVPN (10.8).
std::vector<IpPrefix> DefaultSubnets(const std::vector<Route>& routes, int link);

}  // namespace crisp::network

#endif  // CRISP_NETWORK_LINK_ROUTES_H_
