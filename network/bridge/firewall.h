#ifndef CRISP_NETWORK_BRIDGE_FIREWALL_H_
#define CRISP_NETWORK_BRIDGE_FIREWALL_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "network/values/host_ports.h"
#include "network/values/ip_address.h"

struct nft_ctx;

namespace crisp::network {

// A host port and where its packets go; both addresses are of one family.
struct PortTarget {
  HostPort port;
  IpAddress pod;
};

// What our one nftables table (inet, named after the bridge) holds.
struct FirewallRules {
  std::string bridge;
  std::vector<IpPrefix> subnets;
  bool masquerade = true;
  std::vector<PortTarget> targets;
};

// The commands, as `nft -f` would read them. Pure; the bridge's name must have been checked.
// Replaces the whole table in one transaction, so that no packet sees it half made.
std::string ReplaceTableCommands(const FirewallRules& rules);
// verb: "add" or "delete". Host ports are elements of maps: adding one is O(1) for every packet.
std::string ElementCommands(const std::string& table,
                            const char* verb,
                            const std::vector<PortTarget>& targets);

// The port of the bridge that is a pod's, and what may come from there.
struct PodIdentity {
  std::string port;
  std::string mac;
  std::vector<IpAddress> addresses;
};

// The same for the table of the bridge family, of the same name: what comes from a pod's port is
// dropped unless it is ARP, IPv4 or IPv6 with the pod's own MAC and addresses, and speaks for none
// but these by ARP or neighbour discovery; no router advertisement or redirect either. All pods are
// elements of a few sets. Ports that it does not know may send anything.
std::string ReplaceGuardCommands(const std::string& bridge, const std::vector<PodIdentity>& pods);
std::string IdentityCommands(const std::string& bridge, const char* verb, const PodIdentity& pod);

// Runs nftables commands in-process, each call one transaction. Not thread-safe. Acts on the
// network namespace of the thread that calls Create().
class Firewall {
 public:
  static absl::StatusOr<std::unique_ptr<Firewall>> Create();
  ~Firewall();
  Firewall(const Firewall&) = delete;
  Firewall& operator=(const Firewall&) = delete;

  // FailedPrecondition with nftables' own message; then nothing was changed.
  absl::Status Run(const std::string& commands);

 private:
  explicit Firewall(nft_ctx* context) : context_(context) {}
  nft_ctx* context_;
};

}  // namespace crisp::network

#endif  // CRISP_NETWORK_BRIDGE_FIREWALL_H_
