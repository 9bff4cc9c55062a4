#include "network/bridge/host_side.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "network/bridge/bridge_claim.h"
#include "network/link/pod_sysctls.h"
#include "network/link/traffic.h"
#include "network/values/digest.h"

namespace crisp::network {
namespace {

constexpr char kSysctls[] = "/proc/sys/net/";

// Writes only what differs: the tree may be read-only with the right values already in it.
absl::Status SetSysctl(const std::string& name, absl::string_view value) {
  const std::string path = absl::StrCat(kSysctls, name);
  CRISP_ASSIGN_OR_RETURN(const std::string current, ReadFile(path));
  if (absl::StripAsciiWhitespace(current) == value) return absl::OkStatus();
  return WriteKernelFile(path, value);
}

// Linux stops believing router advertisements on interfaces of a forwarding host unless accept_ra
// is 2; the node would lose its own default route.
absl::Status ForwardIpv6() {
  CRISP_ASSIGN_OR_RETURN(const std::string now, ReadFile("/proc/sys/net/ipv6/conf/all/forwarding"));
  if (absl::StripAsciiWhitespace(now) == "1") return absl::OkStatus();
  CRISP_ASSIGN_OR_RETURN(const std::vector<std::string> links, ListDir("/proc/sys/net/ipv6/conf"));
  for (const std::string& link : links) {
    const std::string path = absl::StrCat("/proc/sys/net/ipv6/conf/", link, "/accept_ra");
    const absl::StatusOr<std::string> accept = ReadFile(path);
    if (!accept.ok() || absl::StripAsciiWhitespace(*accept) != "1") continue;
    if (const absl::Status s = WriteKernelFile(path, "2"); !s.ok()) {
      LogWarning("accept_ra_not_kept", {{"interface", link}, {"error", s.message()}});
    }
  }
  return SetSysctl("ipv6/conf/all/forwarding", "1");
}

bool IsName(const std::string& name) {
  return !name.empty() && name.size() < IFNAMSIZ && absl::ascii_isalpha(name[0]) &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; });
}

InterfaceAddress GatewayOf(const IpPrefix& subnet) {
  return {.address = subnet.address.Plus(1), .prefix_length = subnet.length};
}

}  // namespace

absl::StatusOr<std::vector<PortTarget>> TargetsOf(const PodRecord& record) {
  std::vector<PortTarget> targets;
  for (const HostPort& port : record.ports) {
    bool any = false;
    for (const InterfaceAddress& address : record.addresses) {
      if (port.host_ip && port.host_ip->is_v6() != address.address.is_v6()) continue;
      targets.push_back({port, address.address});
      any = true;
    }
    if (!any) {
      return absl::InvalidArgumentError(
          absl::StrCat("host port ", port.ToString(), ": the pod has no ",
                       port.host_ip->is_v6() ? "IPv6" : "IPv4", " address"));
    }
  }
  return targets;
}

PodIdentity IdentityOf(const PodRecord& record) {
  PodIdentity pod{.port = record.host_veth, .mac = record.mac};
  bool v6 = false;
  for (const InterfaceAddress& a : record.addresses) {
    pod.addresses.push_back(a.address);
    v6 = v6 || a.address.is_v6();
  }
  if (v6) pod.addresses.push_back(LinkLocal(MacFor(record.addresses.front().address)).address);
  return pod;
}

MacAddress MacFor(const IpAddress& address) {
  uint32_t tail;
  if (address.is_v6()) {
    tail = static_cast<uint32_t>(Digest64({reinterpret_cast<const char*>(address.data()), 16}));
  } else {
    const uint8_t* b = address.data();
    tail = static_cast<uint32_t>(b[0]) << 24 | b[1] << 16 | b[2] << 8 | b[3];
  }
  return {0x0a,
          0x58,
          static_cast<uint8_t>(tail >> 24),
          static_cast<uint8_t>(tail >> 16),
          static_cast<uint8_t>(tail >> 8),
          static_cast<uint8_t>(tail)};
}

absl::StatusOr<std::unique_ptr<HostSide>> HostSide::Create(const Options& options) {
  if (!IsName(options.bridge)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", options.bridge, "\" cannot name a bridge"));
  }
  CRISP_ASSIGN_OR_RETURN(UniqueFd rtnl, OpenRtnl());
  CRISP_ASSIGN_OR_RETURN(std::unique_ptr<Firewall> firewall, Firewall::Create());
  return std::unique_ptr<HostSide>(new HostSide(options, std::move(rtnl), std::move(firewall)));
}

absl::Status HostSide::CheckOwner() {
  const absl::StatusOr<Link> bridge = GetLink(rtnl_.get(), options_.bridge);
  if (absl::IsNotFound(bridge.status())) return absl::OkStatus();
  if (!bridge.ok()) return bridge.status();
  return CheckBridgeAlias(options_.bridge, bridge->alias, options_.state);
}

absl::Status HostSide::Stolen(absl::string_view what, const Route& route) {
  std::string by = "no interface";
  const absl::StatusOr<std::vector<Link>> links = ListLinks(rtnl_.get());
  for (const Link& link : links.ok() ? *links : std::vector<Link>()) {
    if (link.index == route.link) by = link.name;
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the pod network: the node's packets to ", what, " go to ", by,
                   " by its route to ", route.to.ToString(), ", not to ", options_.bridge,
                   "; set network.subnets to one that nothing else on this node uses"));
}

absl::Status HostSide::CheckSubnets(const std::vector<IpPrefix>& subnets) {
  CRISP_ASSIGN_OR_RETURN(const std::vector<Route> foreign,
                         ListForeignRoutes(rtnl_.get(), options_.bridge));
  for (const IpPrefix& subnet : subnets) {
    const Route* stealer = Stealer(foreign, subnet, 0);
    if (stealer != nullptr) return Stolen(subnet.ToString(), *stealer);
  }
  return absl::OkStatus();
}

absl::Status HostSide::CheckRoute(const InterfaceAddress& address) {
  const absl::StatusOr<Route> route = RouteTo(rtnl_.get(), address.address);
  // The kernel may leave out a bridge whose first port is just coming up; nobody else has it then.
  if (!route.ok() || route->link == bridge_index_ || route->to.length < address.prefix_length) {
    return absl::OkStatus();
  }
  return Stolen(address.address.ToString(), *route);
}

absl::StatusOr<std::vector<IpPrefix>> HostSide::FreeSubnets() {
  CRISP_ASSIGN_OR_RETURN(const std::vector<Route> foreign,
                         ListForeignRoutes(rtnl_.get(), options_.bridge));
  return DefaultSubnets(foreign, 0);
}

absl::Status HostSide::Ensure(const Wanted& wanted) {
  if (ready_) return absl::OkStatus();
  CRISP_RETURN_IF_ERROR(EnsureBridge(wanted));
  CRISP_RETURN_IF_ERROR(EnsureSysctls(wanted));
  CRISP_RETURN_IF_ERROR(EnsureAddresses(wanted));
  CRISP_RETURN_IF_ERROR(firewall_->Run(ReplaceTableCommands({.bridge = options_.bridge,
                                                             .subnets = wanted.subnets,
                                                             .masquerade = options_.masquerade,
                                                             .targets = wanted.targets})));
  CRISP_RETURN_IF_ERROR(EnsureGuard(wanted));
  ready_ = true;
  return absl::OkStatus();
}

absl::Status HostSide::EnsureGuard(const Wanted& wanted) {
  guards_ = false;
  const std::string table = absl::StrCat("table bridge ", options_.bridge, "\n");
  const absl::Status family = firewall_->Run("add " + table);
  if (!options_.anti_spoofing) {
    return family.ok() ? firewall_->Run("delete " + table) : absl::OkStatus();
  }
  if (!family.ok()) {
    if (!told_unguarded_) {
      LogWarning("network.no_anti_spoofing",
                 {{"error", family.message()}, {"effect", "pods can send in the name of others"}});
    }
    told_unguarded_ = true;
    return absl::OkStatus();
  }
  CRISP_RETURN_IF_ERROR(firewall_->Run(ReplaceGuardCommands(options_.bridge, wanted.pods)));
  guards_ = true;
  return absl::OkStatus();
}

absl::Status HostSide::Guard(const PodRecord& record) {
  if (!guards_) return absl::OkStatus();
  return firewall_->Run(IdentityCommands(options_.bridge, "add", IdentityOf(record)));
}

void HostSide::Unguard(const PodRecord& record) {
  if (!guards_ || !ready_ || record.mac.empty()) return;
  // If they do not exist, nothing is left to do.
  (void)firewall_->Run(IdentityCommands(options_.bridge, "delete", IdentityOf(record)));
}

bool HostSide::HasTables() {
  const std::string& name = options_.bridge;
  // Nothing where the chain is there, an error where the table is not.
  std::string commands = absl::StrCat("add chain inet ", name, " ports\n");
  if (guards_) absl::StrAppend(&commands, "add chain bridge ", name, " ip4_of_pods\n");
  return firewall_->Run(commands).ok();
}

absl::Status HostSide::EnsureBridge(const Wanted& wanted) {
  mtu_ = options_.mtu;
  if (mtu_ == 0) {
    CRISP_ASSIGN_OR_RETURN(const std::optional<int> found, DefaultRouteMtu(rtnl_.get()));
    mtu_ = found.value_or(1500);
  }
  absl::StatusOr<Link> bridge = GetLink(rtnl_.get(), options_.bridge);
  if (absl::IsNotFound(bridge.status())) {
    const MacAddress mac = MacFor(GatewayOf(wanted.subnets.front()).address);
    CRISP_RETURN_IF_ERROR(CreateBridge(rtnl_.get(), options_.bridge, mac, mtu_));
    bridge = GetLink(rtnl_.get(), options_.bridge);
  }
  if (!bridge.ok()) return bridge.status();
  if (bridge->kind != "bridge") {
    return absl::FailedPreconditionError(absl::StrCat(
        "interface ", options_.bridge, " exists and is not a bridge but ", bridge->kind));
  }
  CRISP_RETURN_IF_ERROR(CheckBridgeAlias(options_.bridge, bridge->alias, options_.state));
  bridge_index_ = bridge->index;
  CRISP_RETURN_IF_ERROR(SetAlias(rtnl_.get(), bridge_index_, BridgeAlias(options_.state)));
  NetlinkBatch batch;
  ifinfomsg header{};
  header.ifi_index = bridge_index_;
  header.ifi_flags = header.ifi_change = IFF_UP;
  batch.Begin(absl::StrCat("bring ", options_.bridge, " up"), RTM_SETLINK, 0, header);
  CRISP_RETURN_IF_ERROR(Exchange(rtnl_.get(), batch));
  // Ports of a bridge that somebody deleted come back into the new one.
  CRISP_ASSIGN_OR_RETURN(const std::vector<Link> veths, ListLinks(rtnl_.get(), "veth"));
  for (const Link& veth : veths) {
    if (veth.master == bridge_index_ ||
        std::find(wanted.host_veths.begin(), wanted.host_veths.end(), veth.name) ==
            wanted.host_veths.end()) {
      continue;
    }
    NetlinkBatch join;
    ifinfomsg port{};
    port.ifi_index = veth.index;
    join.Begin(absl::StrCat("put ", veth.name, " into ", options_.bridge), RTM_SETLINK, 0, port);
    join.PutU32(IFLA_MASTER, static_cast<uint32_t>(bridge_index_));
    CRISP_RETURN_IF_ERROR(Exchange(rtnl_.get(), join));
  }
  return absl::OkStatus();
}

absl::Status HostSide::EnsureAddresses(const Wanted& wanted) {
  std::vector<InterfaceAddress> target;
  for (const IpPrefix& subnet : wanted.subnets) target.push_back(GatewayOf(subnet));
  CRISP_ASSIGN_OR_RETURN(std::vector<InterfaceAddress> present,
                         ListAddresses(rtnl_.get(), bridge_index_));
  std::vector<InterfaceAddress> add, remove;
  for (const InterfaceAddress& a : target) {
    if (std::find(present.begin(), present.end(), a) == present.end()) add.push_back(a);
  }
  const IpPrefix link_local = IpPrefix::Parse("fe80::/10").value();
  for (const InterfaceAddress& a : present) {
    if (link_local.Contains(a.address)) continue;
    if (std::find(target.begin(), target.end(), a) == target.end()) remove.push_back(a);
  }
  return ChangeAddresses(rtnl_.get(), bridge_index_, add, remove);
}

absl::Status HostSide::EnsureSysctls(const Wanted& wanted) {
  const std::string& bridge = options_.bridge;
  // A pod that plays router must not become the node's (CVE-2020-10749).
  if (KernelHasIpv6()) {
    CRISP_RETURN_IF_ERROR(SetSysctl(absl::StrCat("ipv6/conf/", bridge, "/accept_ra"), "0"));
  }
  for (const IpPrefix& subnet : wanted.subnets) {
    if (subnet.address.is_v6()) {
      CRISP_RETURN_IF_ERROR(SetSysctl(absl::StrCat("ipv6/conf/", bridge, "/disable_ipv6"), "0"));
      CRISP_RETURN_IF_ERROR(ForwardIpv6());
    } else {
      CRISP_RETURN_IF_ERROR(SetSysctl("ipv4/ip_forward", "1"));
      // For host ports on 127.0.0.1; our table keeps pods from using it the other way.
      CRISP_RETURN_IF_ERROR(SetSysctl(absl::StrCat("ipv4/conf/", bridge, "/route_localnet"), "1"));
    }
  }
  return absl::OkStatus();
}

absl::Status HostSide::BuildPod(const PodRecord& record, const MacAddress& mac, const Pod& pod) {
  const VethRequest veth{.host_name = record.host_veth,
                         .bridge_index = bridge_index_,
                         .mtu = mtu_,
                         .pod_netns_fd = pod.netns_fd,
                         .pod_mac = mac,
                         .hairpin = !record.ports.empty()};
  CRISP_RETURN_IF_ERROR(CreateVeth(rtnl_.get(), veth));
  CRISP_RETURN_IF_ERROR(IgnoreRouterAdvertisements(pod.netns_fd, veth.pod_interface));
  PodSideRequest inside{.mac = mac, .addresses = record.addresses};
  for (const InterfaceAddress& a : record.addresses) {
    inside.gateways.push_back(a.address.Masked(a.prefix_length).Plus(1));
  }
  CRISP_RETURN_IF_ERROR(ConfigurePodSide(pod.rtnl_fd, inside));
  return LimitBandwidth(rtnl_.get(), record.host_veth, record.ifb, pod.bandwidth);
}

absl::Status HostSide::EnableHairpin(const PodRecord& record) {
  return network::EnableHairpin(rtnl_.get(), record.host_veth);
}

absl::Status HostSide::ChangePorts(const char* verb, const std::vector<PortTarget>& targets) {
  if (targets.empty()) return absl::OkStatus();
  return firewall_->Run(ElementCommands(options_.bridge, verb, targets));
}

absl::Status HostSide::DeletePodLinks(const PodRecord& record) {
  CRISP_RETURN_IF_ERROR(DeleteLink(rtnl_.get(), record.host_veth));
  return record.ifb.empty() ? absl::OkStatus() : DeleteLink(rtnl_.get(), record.ifb);
}

bool HostSide::LinkExists(const std::string& name) {
  return !absl::IsNotFound(GetLink(rtnl_.get(), name).status());
}

absl::Status HostSide::RemoveAll() {
  ready_ = false;
  if (const absl::Status owner = CheckOwner(); !owner.ok()) {
    LogWarning("network.bridge_stays", {{"why", owner.message()}});
    return absl::OkStatus();
  }
  const absl::StatusOr<Link> bridge = GetLink(rtnl_.get(), options_.bridge);
  if (bridge.ok() && bridge->kind == "bridge") {
    CRISP_ASSIGN_OR_RETURN(const std::vector<Link> veths, ListLinks(rtnl_.get(), "veth"));
    for (const Link& veth : veths) {
      if (veth.master != bridge->index) continue;
      CRISP_RETURN_IF_ERROR(DeleteLink(rtnl_.get(), veth.name));
    }
    CRISP_RETURN_IF_ERROR(DeleteLink(rtnl_.get(), options_.bridge));
  } else if (!bridge.ok() && !absl::IsNotFound(bridge.status())) {
    return bridge.status();
  }
  const std::string guard = absl::StrCat("table bridge ", options_.bridge, "\n");
  if (firewall_->Run("add " + guard).ok()) CRISP_RETURN_IF_ERROR(firewall_->Run("delete " + guard));
  return firewall_->Run(absl::StrCat("add table inet ", options_.bridge, "\ndelete table inet ",
                                     options_.bridge, "\n"));
}

}  // namespace crisp::network
