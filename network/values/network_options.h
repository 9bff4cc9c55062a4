#ifndef CRISP_NETWORK_VALUES_NETWORK_OPTIONS_H_
#define CRISP_NETWORK_VALUES_NETWORK_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

namespace crisp::network {

// The section `network` of the configuration, and what the daemon adds to it. The defaults here are
// the configuration's.
struct NetworkOptions {
  // A durable folder for CNI attachments, which are undone even after a reboot: e.g.
  // /var/lib/crisp/network.
  std::string root;
  std::string state;  // tmpfs: leases of the built-in network, e.g. /run/crisp/network
  std::string cni_conf_dir = "/etc/cni/net.d";
  std::vector<std::string> cni_bin_dirs = {"/opt/cni/bin", "/usr/lib/cni"};
  // The built-in network's bridge. It also names the nftables table: several instances differ here.
  std::string bridge_name = "crisp0";
  // At most one of each family. If there is none, the first of a few of our own serves that
  // overlaps with no route of the host.
  std::vector<std::string> subnets;
  bool subnets_from_kubelet = true;  // UpdateRuntimeConfig's pod CIDR replaces them
  bool masquerade = true;
  int64_t mtu = 0;  // 0: that of the host's default route, else 1500
  // TCP ports on which the daemon itself listens, or will listen. No pod gets one of them.
  std::vector<uint16_t> own_ports;
  // Drops what a pod sends if it comes from, or speaks for, another MAC or address than the pod's
  // own.
  bool anti_spoofing = true;
  // When the built-in network serves: while there is no CNI configuration; always; or never, so
  // that pods wait for a CNI configuration.
  enum class Builtin { kAuto, kAlways, kNever };
  Builtin serves = Builtin::kAuto;
};

}  // namespace crisp::network

#endif  // CRISP_NETWORK_VALUES_NETWORK_OPTIONS_H_
