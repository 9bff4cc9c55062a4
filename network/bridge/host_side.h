#ifndef CRISP_NETWORK_BRIDGE_HOST_SIDE_H_
#define CRISP_NETWORK_BRIDGE_HOST_SIDE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "network/bridge/firewall.h"
#include "network/bridge/pod_record.h"
#include "network/link/links.h"
#include "network/link/routes.h"
#include "network/values/bandwidth.h"

namespace crisp::network {

// The node's end of the built-in network: bridge, sysctls, nftables tables and veths. It is made at
// its first use. Not thread-safe: rtnetlink serialises anyway, so one caller at a time loses
// nothing.
class HostSide {
 public:
  struct Options {
    std::string bridge;
    bool masquerade = true;
    int mtu = 0;        // 0: the default route's device's, else 1500
    std::string state;  // the instance's directory, by which its bridge is known
    bool anti_spoofing = true;
  };
  // The things that must exist, according to the records.
  struct Wanted {
    std::vector<IpPrefix> subnets;        // the bridge has the first address of each
    std::vector<PortTarget> targets;      // host ports of attached pods
    std::vector<std::string> host_veths;  // of attached pods
    std::vector<PodIdentity> pods;        // all that have, or may have, a veth
  };
  // Opens its sockets in the calling thread's namespace and changes nothing. InvalidArgument for a
  // bridge name that cannot name an interface and an nftables table.
  static absl::StatusOr<std::unique_ptr<HostSide>> Create(const Options& options);

  // FailedPrecondition when the bridge exists and belongs to another instance.
  absl::Status CheckOwner();
  // FailedPrecondition, with the owner, when another route or address of this host overlaps with a
  // subnet. Looks at all routes.
  absl::Status CheckSubnets(const std::vector<IpPrefix>& subnets);
  // The same for one address, at the price of one look-up: packets of the host to it must go to the
  // bridge.
  absl::Status CheckRoute(const InterfaceAddress& address);
  // The networks to use when none is configured.
  absl::StatusOr<std::vector<IpPrefix>> FreeSubnets();

  bool ready() const { return ready_; }
  void Invalidate() { ready_ = false; }
  // Makes the bridge, its addresses, the sysctls and the tables as wanted, and corrects what exists
  // of them already. FailedPrecondition when the bridge's name belongs to something else.
  absl::Status Ensure(const Wanted& wanted);

  struct Pod {
    int netns_fd = -1;
    int rtnl_fd = -1;
    Bandwidth bandwidth;
  };
  // Makes the veth pair, the pod's side and the bandwidth limits. A failure leaves what was made
  // until then.
  absl::Status BuildPod(const PodRecord& record, const MacAddress& mac, const Pod& pod);
  // Lets the bridge send a pod's packets back to it. For a pod that was built without host ports
  // and gets some.
  absl::Status EnableHairpin(const PodRecord& record);
  // Changes host ports. FailedPrecondition when the table is not as this object knows it; replace
  // it then.
  absl::Status ChangePorts(const char* verb, const std::vector<PortTarget>& targets);

  // Allows the pod's port to send, from the pod's addresses alone. The port is in the table before
  // its veth exists and until the veth is gone. FailedPrecondition when the table is not as this
  // object knows it; replace it then.
  absl::Status Guard(const PodRecord& record);
  void Unguard(const PodRecord& record);
  // False if something has removed one of our tables.
  bool HasTables();

  // Deletes the veth and the IFB device, and waits for the kernel. Absent ones are OK.
  absl::Status DeletePodLinks(const PodRecord& record);
  bool LinkExists(const std::string& name);
  // Removes the bridge, its ports and the tables, but not those of another instance.
  absl::Status RemoveAll();

 private:
  HostSide(Options options, UniqueFd rtnl, std::unique_ptr<Firewall> firewall)
      : options_(std::move(options)), rtnl_(std::move(rtnl)), firewall_(std::move(firewall)) {}
  absl::Status EnsureGuard(const Wanted& wanted);
  absl::Status Stolen(absl::string_view what, const Route& route);
  absl::Status EnsureBridge(const Wanted& wanted);
  absl::Status EnsureAddresses(const Wanted& wanted);
  absl::Status EnsureSysctls(const Wanted& wanted);

  Options options_;
  UniqueFd rtnl_;
  std::unique_ptr<Firewall> firewall_;
  bool ready_ = false;
  bool guards_ = false;  // the kernel has the bridge family, and it is wanted
  bool told_unguarded_ = false;
  int bridge_index_ = 0;
  int mtu_ = 0;
};

// The destinations of a pod's host ports: each port with each of the pod's addresses that it can
// have. InvalidArgument for a host_ip of a family in which the pod has no address.
absl::StatusOr<std::vector<PortTarget>> TargetsOf(const PodRecord& record);

// The addresses from which the pod may send: the recorded ones, and its link-local address if it
// has one.
PodIdentity IdentityOf(const PodRecord& record);

// 0a:58 and the IPv4 address, or a digest of the IPv6 one. When an address is used again, every
// neighbour cache that remembers it is right.
MacAddress MacFor(const IpAddress& address);

}  // namespace crisp::network

#endif  // CRISP_NETWORK_BRIDGE_HOST_SIDE_H_
