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

// The contents of our one nftables table of family inet, which is named after the bridge.
struct FirewallRules {
  std::string bridge;
  std::vector<IpPrefix> subnets;
  bool masquerade = true;
  std::vector<PortTarget> targets;
};

// The commands, as `nft -f` would read them. Pure; the bridge's name must have been checked.
// Replaces the whole table in one transaction, so that no packet sees it half made.
std::string ReplaceTableCommands(const FirewallRules& rules);
// `verb` is "add" or "delete". Host ports are elements of maps, so a packet costs O(1) however many
// there are.
std::string ElementCommands(const std::string& table,
                            const char* verb,
                            const std::vector<PortTarget>& targets);

// A pod's port of the bridge, and the addresses from which the pod may send.
struct PodIdentity {
  std::string port;
  std::string mac;
  std::vector<IpAddress> addresses;
};

// The same for the table of the bridge family, of the same name. A packet from a pod's port is
// dropped unless it is ARP, IPv4 or IPv6 with the pod's own MAC and addresses. ARP and neighbour
// discovery may speak for no other address, and a router advertisement or redirect is dropped too.
// All pods are elements of a few sets. Ports that the table does not know may send anything.
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
