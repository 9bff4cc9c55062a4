#include "network/firewall.h"

#include <nftables/libnftables.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
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
