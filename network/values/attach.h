#ifndef CRISP_NETWORK_VALUES_ATTACH_H_
#define CRISP_NETWORK_VALUES_ATTACH_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace crisp::network {

// What a pod's network is asked for, and what it answers: values.

struct NetworkOptions {
  std::string
      root;  // durable: CNI attachments (undone even after a reboot), e.g. /var/lib/crisp/network
  std::string state;  // tmpfs: leases of the built-in network, e.g. /run/crisp/network
  std::string cni_conf_dir = "/etc/cni/net.d";
  std::vector<std::string> cni_bin_dirs = {"/opt/cni/bin", "/usr/lib/cni"};
  // The built-in network, used while no CNI configuration exists.
  std::string bridge_name =
      "crisp0";  // also names the nftables table: several instances differ here
  // At most one of each family; none: the first of a few of our own that overlap with no route of
  // the host.
  std::vector<std::string> subnets;
  bool subnets_from_kubelet = true;  // UpdateRuntimeConfig's pod CIDR replaces them
  bool masquerade = true;
  int mtu = 0;  // 0: that of the host's default route, else 1500
  // TCP ports that the daemon itself listens on, or will: no pod gets one of them.
  std::vector<uint16_t> own_ports;
  // What a pod sends must come from its own MAC and addresses, and speak for no others.
  bool anti_spoofing = true;
  // When the built-in network serves: while there is no CNI configuration, whether there is or not,
  // or not at all, so that pods wait for one.
  enum class Builtin { kAuto, kAlways, kNever };
  Builtin builtin = Builtin::kAuto;
};

enum class Protocol { kTcp, kUdp, kSctp };

struct PortMapping {
  Protocol protocol = Protocol::kTcp;
  uint16_t container_port = 0;
  uint16_t host_port = 0;  // 0: not published
  std::string host_ip;     // empty: all addresses
};

// The annotations that limit a pod's bandwidth.
constexpr char kIngressBandwidth[] = "kubernetes.io/ingress-bandwidth";
constexpr char kEgressBandwidth[] = "kubernetes.io/egress-bandwidth";

// Names, with dots or slashes between their parts, and values.
using Sysctls = std::vector<std::pair<std::string, std::string>>;

struct AttachRequest {
  std::string pod_id;
  std::string pod_name;
  std::string pod_namespace;
  std::string pod_uid;
  int netns_fd = -1;  // the pod's network namespace; borrowed during the call
  int rtnl_fd = -1;   // NETLINK_ROUTE socket opened inside that namespace; borrowed during the call
  std::string
      netns_path;  // how a CNI plugin can open the namespace; may be empty with the built-in
  std::vector<PortMapping> ports;
  std::map<std::string, std::string> annotations;  // bandwidth is read from here
  std::vector<std::string> dns_servers;            // handed to plugins with the dns capability
  std::vector<std::string> dns_searches;
  std::vector<std::string> dns_options;
  std::string cgroup_parent;
  Sysctls sysctls;       // net.* ones, set when the interface and its addresses are there
  std::string prepared;  // the key, if Prepare() has been at work in this namespace
};

struct Attachment {
  std::string interface = "eth0";
  std::vector<std::string> addresses;  // without prefix length, the primary one first
  std::string mac;
};

struct NetworkCondition {
  bool ready = false;
  std::string reason;  // "NetworkPluginNotReady" …
  std::string message;
};

struct InterfaceCounters {
  std::string name;
  uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
};

}  // namespace crisp::network

#endif  // CRISP_NETWORK_VALUES_ATTACH_H_
