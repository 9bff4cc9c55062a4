#include "network/bridge/firewall.h"

#include <nftables/libnftables.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace crisp::network {
namespace {

// Any address of the host, and one address of the host, per family. The raw chain closes what
// route_localnet on the bridge would open: the host's loopback services to the pods
// (CVE-2020-8558). Masquerading what comes back through the bridge lets the host reach a port by
// 127.0.0.1, and a pod reach itself or a neighbour by a host port: the answer must pass here.
constexpr char kTable[] = R"(add table inet $TABLE
delete table inet $TABLE
table inet $TABLE {
  set pods4 { type ipv4_addr; flags interval; $PODS4 }
  set pods6 { type ipv6_addr; flags interval; $PODS6 }
  map any4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
  map any6 { type inet_proto . inet_service : ipv6_addr . inet_service; }
  map one4 { type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; }
  map one6 { type inet_proto . ipv6_addr . inet_service : ipv6_addr . inet_service; }
  chain loopback {
    type filter hook prerouting priority raw; policy accept;
    iifname "$BRIDGE" ip daddr 127.0.0.0/8 drop
    iifname "$BRIDGE" ip saddr 127.0.0.0/8 drop
  }
  chain ports {
    meta l4proto != { tcp, udp, sctp } return
    dnat ip to meta l4proto . ip daddr . th dport map @one4
    dnat ip6 to meta l4proto . ip6 daddr . th dport map @one6
    fib daddr type != local return
    dnat ip to meta l4proto . th dport map @any4
    ip6 daddr ::1 return
    dnat ip6 to meta l4proto . th dport map @any6
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    jump ports
  }
  chain output {
    type nat hook output priority -100; policy accept;
    jump ports
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ct status dnat oifname "$BRIDGE" ip saddr 127.0.0.0/8 masquerade
    ct status dnat ip saddr @pods4 ip daddr @pods4 masquerade
    ct status dnat ip6 saddr @pods6 ip6 daddr @pods6 masquerade
$MASQUERADE  }
}
)";

// Before the bridge learns where a MAC is. A pod may ask whether an address is free, with none of
// its own yet; `says6` are the same addresses as `own6`, as a raw field of an advertisement.
constexpr char kGuard[] = R"(add table bridge $BRIDGE
delete table bridge $BRIDGE
table bridge $BRIDGE {
  set ports { type ifname; }
  set macs { type ifname . ether_addr; }
  set own4 { type ifname . ipv4_addr; }
  set own6 { type ifname . ipv6_addr; }
  set says6 { typeof iifname . @th,64,128; }
  chain from_pods {
    type filter hook prerouting priority -350; policy accept;
    iifname != @ports accept
    iifname . ether saddr != @macs drop
    ether type vmap { arp : jump arp_of_pods, ip : jump ip4_of_pods, ip6 : jump ip6_of_pods }
    drop
  }
  chain arp_of_pods {
    iifname . arp saddr ether != @macs drop
    iifname . arp saddr ip @own4 accept
    arp operation request arp saddr ip 0.0.0.0 accept
    drop
  }
  chain ip4_of_pods {
    iifname . ip saddr @own4 accept
    drop
  }
  chain ip6_of_pods {
    icmpv6 type { nd-router-advert, nd-redirect } drop
    icmpv6 type nd-neighbor-advert iifname . @th,64,128 != @says6 drop
    iifname . ip6 saddr @own6 accept
    ip6 saddr :: icmpv6 type { nd-neighbor-solicit, nd-router-solicit, mld-listener-report, mld-listener-done, mld2-listener-report } accept
    drop
  }
}
)";

constexpr char kMasquerade[] =
    R"(    ip saddr @pods4 ip daddr != @pods4 ip daddr != 224.0.0.0/4 oifname != "$BRIDGE" masquerade
    ip6 saddr @pods6 ip6 daddr != @pods6 ip6 daddr != ff00::/8 oifname != "$BRIDGE" masquerade
)";

std::string Elements(const std::vector<IpPrefix>& subnets, bool v6) {
  std::vector<std::string> elements;
  for (const IpPrefix& subnet : subnets) {
    if (subnet.address.is_v6() == v6) elements.push_back(subnet.ToString());
  }
  if (elements.empty()) return "";
  return absl::StrCat("auto-merge; elements = { ", absl::StrJoin(elements, ", "), " }");
}

}  // namespace

std::string ElementCommands(const std::string& table,
                            const char* verb,
                            const std::vector<PortTarget>& targets) {
  std::string commands;
  for (const auto& [port, pod] : targets) {
    const bool any = !port.host_ip || port.host_ip->is_unspecified();
    absl::StrAppend(&commands, verb, " element inet ", table, any ? " any" : " one",
                    pod.is_v6() ? "6 { " : "4 { ", ProtocolName(port.protocol), " . ",
                    any ? "" : absl::StrCat(port.host_ip->ToString(), " . "), port.host_port, " : ",
                    pod.ToString(), " . ", port.container_port, " }\n");
  }
  return commands;
}

std::string ReplaceTableCommands(const FirewallRules& rules) {
  std::string text =
      absl::StrReplaceAll(kTable, {{"$MASQUERADE", rules.masquerade ? kMasquerade : ""}});
  text = absl::StrReplaceAll(text, {{"$TABLE", rules.bridge},
                                    {"$BRIDGE", rules.bridge},
                                    {"$PODS4", Elements(rules.subnets, false)},
                                    {"$PODS6", Elements(rules.subnets, true)}});
  return text + ElementCommands(rules.bridge, "add", rules.targets);
}

std::string IdentityCommands(const std::string& bridge, const char* verb, const PodIdentity& pod) {
  std::string commands;
  const auto element = [&](const char* set, absl::string_view value) {
    absl::StrAppend(&commands, verb, " element bridge ", bridge, " ", set, " { \"", pod.port, "\"",
                    value, " }\n");
  };
  element("macs", absl::StrCat(" . ", pod.mac));
  for (const IpAddress& address : pod.addresses) {
    element(address.is_v6() ? "own6" : "own4", absl::StrCat(" . ", address.ToString()));
    if (!address.is_v6()) continue;
    element(
        "says6",
        absl::StrCat(" . 0x", absl::BytesToHexString({reinterpret_cast<const char*>(address.data()),
                                                      address.size()})));
  }
  element("ports", "");
  return commands;
}

std::string ReplaceGuardCommands(const std::string& bridge, const std::vector<PodIdentity>& pods) {
  std::string text = absl::StrReplaceAll(kGuard, {{"$BRIDGE", bridge}});
  for (const PodIdentity& pod : pods) text += IdentityCommands(bridge, "add", pod);
  return text;
}

absl::StatusOr<std::unique_ptr<Firewall>> Firewall::Create() {
  nft_ctx* context = nft_ctx_new(NFT_CTX_DEFAULT);
  if (context == nullptr) return absl::ResourceExhaustedError("nftables: no context");
  nft_ctx_buffer_output(context);
  nft_ctx_buffer_error(context);
  return std::unique_ptr<Firewall>(new Firewall(context));
}

Firewall::~Firewall() { nft_ctx_free(context_); }

absl::Status Firewall::Run(const std::string& commands) {
  const int result = nft_run_cmd_from_buffer(context_, commands.c_str());
  // Reading a buffer empties it for the next run.
  const char* errors = nft_ctx_get_error_buffer(context_);
  std::string message = errors == nullptr ? "" : errors;
  (void)nft_ctx_get_output_buffer(context_);
  if (result == 0) return absl::OkStatus();
  const size_t newline = message.find('\n');
  if (newline != std::string::npos && newline < 300) message.resize(newline);
  message.resize(std::min<size_t>(message.size(), 300));
  return absl::FailedPreconditionError(absl::StrCat("nftables: ", message));
}

}  // namespace crisp::network
