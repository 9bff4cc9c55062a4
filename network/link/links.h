#ifndef CRISP_NETWORK_LINK_LINKS_H_
#define CRISP_NETWORK_LINK_LINKS_H_

#include <linux/netlink.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "network/link/netlink.h"
#include "network/values/attach.h"
#include "network/values/ip_address.h"

namespace crisp::network {

// False if the kernel refuses IPv6 addresses and sysctls. Looked up once.
bool KernelHasIpv6();

using MacAddress = std::array<uint8_t, 6>;
std::string ToString(const MacAddress& mac);

struct Link {
  int index = 0;
  std::string name;
  std::string kind;  // "veth", "bridge", …; empty for physical devices
  int master = 0;
  int peer = 0;  // of a veth: the other end's index, in the other end's namespace
  int mtu = 0;
  bool up = false;
  bool carrier = false;  // the kernel has taken notice that the other end is up
  std::string mac;
  std::string alias;           // a note that an administrator or program has put on it
  InterfaceCounters counters;  // as this end sees them
};

// A RTM_NEWLINK or RTM_DELLINK message; nullopt when it is something else or malformed.
std::optional<Link> ParseLink(const nlmsghdr* message);

// An address with the network that it is on.
struct InterfaceAddress {
  IpAddress address;
  int prefix_length = 0;
  auto operator<=>(const InterfaceAddress&) const = default;
};

// Operations of rtnetlink; `fd` is a NETLINK_ROUTE socket of the namespace that they act on, used
// by one thread at a time. Errors say the operation and the kernel's reason.

// NotFound when there is none.
absl::StatusOr<Link> GetLink(int fd, const std::string& name);
// All links, or those of one kind.
absl::StatusOr<std::vector<Link>> ListLinks(int fd, const std::string& kind = "");
// Waits for the kernel's RCU grace periods (10–30 ms): never while serving a request. Absent is OK.
absl::Status DeleteLink(int fd, const std::string& name);

// A bridge with a MAC address of its own (it would otherwise change with its ports), up, without
// multicast snooping. AlreadyExists when the name is taken.
absl::Status CreateBridge(int fd, const std::string& name, const MacAddress& mac, int mtu);
// The addresses of one link, or of all (0).
absl::StatusOr<std::vector<InterfaceAddress>> ListAddresses(int fd, int link_index = 0);
// Adds and removes in one send. IPv6 addresses skip duplicate address detection.
absl::Status ChangeAddresses(int fd,
                             int link_index,
                             const std::vector<InterfaceAddress>& add,
                             const std::vector<InterfaceAddress>& remove);
// The MTU of the device that the default route uses; nullopt without one.
absl::StatusOr<std::optional<int>> DefaultRouteMtu(int fd);

struct VethRequest {
  std::string host_name;
  int bridge_index = 0;
  int mtu = 0;
  int pod_netns_fd = -1;
  std::string pod_interface = "eth0";
  MacAddress pod_mac{};
  bool hairpin = false;  // the bridge may send a pod's packet back to it
};
// Makes the pair in one send: the pod end appears in the pod's namespace, the host end is up and in
// the bridge, without an IPv6 address. AlreadyExists when one of the names is taken.
absl::Status CreateVeth(int fd, const VethRequest& request);
// Waits until the link has a carrier. The kernel takes notice of it some time after the other end
// has come up, under load tens of milliseconds, and until then the link and a bridge that it is in
// drop packets. DeadlineExceeded after `limit`.
absl::Status AwaitCarrier(int fd, const std::string& name, absl::Duration limit);
absl::Status SetAlias(int fd, int link_index, const std::string& alias);
// Lets the bridge send a packet back through the port that it came from.
absl::Status EnableHairpin(int fd, const std::string& port);

// The link-local address of an IPv6 pod with that MAC.
InterfaceAddress LinkLocal(const MacAddress& mac);

struct PodSideRequest {
  std::string interface = "eth0";
  MacAddress mac{};
  std::vector<InterfaceAddress> addresses;
  std::vector<IpAddress> gateways;  // one default route each
};
// Brings lo and the interface up in the pod's namespace, with addresses and default routes. An IPv6
// pod gets its link-local address from the MAC without duplicate address detection, which would
// take a second. Any other pod has no link-local address.
absl::Status ConfigurePodSide(int rtnl_fd, const PodSideRequest& request);
absl::Status BringLoopbackUp(int rtnl_fd);

}  // namespace crisp::network

#endif  // CRISP_NETWORK_LINK_LINKS_H_
