#ifndef CRISP_NETWORK_VALUES_ATTACH_H_
#define CRISP_NETWORK_VALUES_ATTACH_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace crisp::network {

// The request for a pod's network, and its answer: values.

enum class Protocol { kTcp, kUdp, kSctp };

struct PortMapping {
  Protocol protocol = Protocol::kTcp;
  uint16_t container_port = 0;
  uint16_t host_port = 0;  // 0 if not published
  std::string host_ip;     // empty for all addresses
};

// The annotations that limit a pod's bandwidth.
constexpr char kIngressBandwidth[] = "kubernetes.io/ingress-bandwidth";
constexpr char kEgressBandwidth[] = "kubernetes.io/egress-bandwidth";

// Pairs of a name, with dots or slashes between its parts, and a value.
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
  Sysctls sysctls;       // those of net.*; set when the interface and its addresses exist
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
