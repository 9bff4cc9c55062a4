#include "network/link/links.h"

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/status.h"

namespace crisp::network {
namespace {

// IF_OPER_UP of <linux/if.h>, which cannot be included beside <net/if.h>.
constexpr uint8_t kOperatingUp = 6;

ifinfomsg LinkHeader(int index = 0, unsigned flags = 0) {
  ifinfomsg header{};
  header.ifi_family = AF_UNSPEC;
  header.ifi_index = index;
  header.ifi_flags = flags;
  header.ifi_change = flags;
  return header;
}

std::string StringOf(const nlattr* attribute) {
  const char* text = mnl_attr_get_str(attribute);
  return std::string(text, strnlen(text, mnl_attr_get_payload_len(attribute)));
}

uint32_t U32Of(const nlattr* attribute) {
  uint32_t value = 0;
  std::memcpy(&value, mnl_attr_get_payload(attribute),
              std::min<size_t>(sizeof(value), mnl_attr_get_payload_len(attribute)));
  return value;
}

void ReadCounters(const nlattr* attribute, InterfaceCounters& counters) {
  rtnl_link_stats64 stats{};  // older kernels send a shorter one
  std::memcpy(&stats, mnl_attr_get_payload(attribute),
              std::min<size_t>(sizeof(stats), mnl_attr_get_payload_len(attribute)));
  counters = {.name = std::move(counters.name),
              .rx_bytes = stats.rx_bytes,
              .rx_packets = stats.rx_packets,
              .rx_errors = stats.rx_errors,
              .rx_dropped = stats.rx_dropped,
              .tx_bytes = stats.tx_bytes,
              .tx_packets = stats.tx_packets,
              .tx_errors = stats.tx_errors,
              .tx_dropped = stats.tx_dropped};
}

std::string KindOf(const nlattr* linkinfo) {
  std::string kind;
  ForEachNested(linkinfo, [&](const nlattr* inner) {
    if (mnl_attr_get_type(inner) == IFLA_INFO_KIND) kind = StringOf(inner);
  });
  return kind;
}

std::string MacOf(const nlattr* attribute) {
  MacAddress mac{};
  if (mnl_attr_get_payload_len(attribute) != mac.size()) return "";
  std::memcpy(mac.data(), mnl_attr_get_payload(attribute), mac.size());
  return ToString(mac);
}

void PutAddress(NetlinkBatch& batch, uint16_t type, const InterfaceAddress& a, int link_index) {
  const bool add = type == RTM_NEWADDR;
  ifaddrmsg header{};
  header.ifa_family = static_cast<uint8_t>(a.address.family());
  header.ifa_prefixlen = static_cast<uint8_t>(a.prefix_length);
  header.ifa_index = static_cast<uint32_t>(link_index);
  header.ifa_flags = a.address.is_v6() ? IFA_F_NODAD : 0;
  batch.Begin(
      absl::StrCat(add ? "add" : "remove", " address ", a.address.ToString(), "/", a.prefix_length),
      type, add ? NLM_F_CREATE | NLM_F_REPLACE : 0, header);
  batch.Put(IFA_LOCAL, a.address.data(), a.address.size());
  if (a.address.is_v6()) return;
  batch.Put(IFA_ADDRESS, a.address.data(), 4);
  if (!add || a.prefix_length >= 31) return;
  IpAddress broadcast = a.address.Masked(a.prefix_length);
  broadcast = broadcast.Plus((uint64_t{1} << (32 - a.prefix_length)) - 1);
  batch.Put(IFA_BROADCAST, broadcast.data(), 4);
}

void PutDefaultRoute(NetlinkBatch& batch, const IpAddress& gateway, int link_index) {
  rtmsg header{};
  header.rtm_family = static_cast<uint8_t>(gateway.family());
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_BOOT;
  header.rtm_scope = RT_SCOPE_UNIVERSE;
  header.rtm_type = RTN_UNICAST;
  batch.Begin(absl::StrCat("default route via ", gateway.ToString()), RTM_NEWROUTE,
              NLM_F_CREATE | NLM_F_REPLACE, header);
  batch.Put(RTA_GATEWAY, gateway.data(), gateway.size());
  batch.PutU32(RTA_OIF, static_cast<uint32_t>(link_index));
}

// The kernel makes no link-local address by itself. It would announce one by multicast, which a
// bridge carries to every pod of the node: with a thousand pods that would be most of the work of
// starting the next.
void PutNoAddressGeneration(NetlinkBatch& batch, const std::string& name) {
  if (!KernelHasIpv6()) return;
  batch.Begin(absl::StrCat("address generation of ", name), RTM_SETLINK, 0, LinkHeader());
  batch.PutString(IFLA_IFNAME, name);
  nlattr* spec = batch.BeginNest(IFLA_AF_SPEC | NLA_F_NESTED);
  nlattr* inet6 = batch.BeginNest(AF_INET6 | NLA_F_NESTED);
  batch.PutU8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  batch.EndNest(inet6);
  batch.EndNest(spec);
}

void PutHairpin(NetlinkBatch& batch, const std::string& name) {
  batch.Begin(absl::StrCat("hairpin mode of ", name), RTM_NEWLINK, 0, LinkHeader());
  batch.PutString(IFLA_IFNAME, name);
  nlattr* info = batch.BeginNest(IFLA_LINKINFO);
  batch.PutString(IFLA_INFO_SLAVE_KIND, "bridge");
  nlattr* port = batch.BeginNest(IFLA_INFO_SLAVE_DATA);
  batch.PutU8(IFLA_BRPORT_MODE, 1);
  batch.EndNest(port);
  batch.EndNest(info);
}

void PutLoopbackUp(NetlinkBatch& batch) {
  batch.Begin("bring lo up", RTM_SETLINK, 0, LinkHeader(1, IFF_UP));
}

}  // namespace

InterfaceAddress LinkLocal(const MacAddress& mac) {
  const uint8_t bytes[16] = {
      0xfe,   0x80,   0,    0,    0,      0,      0,     0, static_cast<uint8_t>(mac[0] ^ 2),
      mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]};
  return {.address = IpAddress::FromBytes(bytes, 16).value(), .prefix_length = 64};
}

bool KernelHasIpv6() {
  static const bool has = access("/proc/sys/net/ipv6", F_OK) == 0;
  return has;
}

std::string ToString(const MacAddress& mac) {
  return absl::StrFormat("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
                         mac[5]);
}

std::optional<Link> ParseLink(const nlmsghdr* message) {
  if (message->nlmsg_type != RTM_NEWLINK && message->nlmsg_type != RTM_DELLINK) return std::nullopt;
  if (mnl_nlmsg_get_payload_len(message) < sizeof(ifinfomsg)) return std::nullopt;
  const auto* header = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(message));
  Link link{.index = header->ifi_index, .up = (header->ifi_flags & IFF_UP) != 0};
  ForEachAttribute(message, sizeof(ifinfomsg), [&](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case IFLA_IFNAME:
        link.name = StringOf(attribute);
        break;
      case IFLA_OPERSTATE:
        link.carrier = mnl_attr_get_u8(attribute) == kOperatingUp;
        break;
      case IFLA_LINK:
        link.peer = static_cast<int>(U32Of(attribute));
        break;
      case IFLA_MASTER:
        link.master = static_cast<int>(U32Of(attribute));
        break;
      case IFLA_MTU:
        link.mtu = static_cast<int>(U32Of(attribute));
        break;
      case IFLA_ADDRESS:
        link.mac = MacOf(attribute);
        break;
      case IFLA_IFALIAS:
        link.alias = StringOf(attribute);
        break;
      case IFLA_LINKINFO:
        link.kind = KindOf(attribute);
        break;
      case IFLA_STATS64:
        ReadCounters(attribute, link.counters);
        break;
      default:
        break;
    }
  });
  if (link.name.empty()) return std::nullopt;
  link.counters.name = link.name;
  return link;
}

absl::StatusOr<Link> GetLink(int fd, const std::string& name) {
  NetlinkBatch batch;
  batch.Begin(absl::StrCat("look up interface ", name), RTM_GETLINK, 0, LinkHeader());
  batch.PutString(IFLA_IFNAME, name);
  std::optional<Link> found;
  const absl::Status status =
      Exchange(fd, batch, [&](const nlmsghdr* message) { found = ParseLink(message); });
  if (ErrnoOf(status) == ENODEV || (status.ok() && !found)) {
    return absl::NotFoundError(absl::StrCat("there is no interface ", name));
  }
  if (!status.ok()) return status;
  return *std::move(found);
}

absl::StatusOr<std::vector<Link>> ListLinks(int fd, const std::string& kind) {
  NetlinkBatch batch;
  batch.Begin("list interfaces", RTM_GETLINK, NLM_F_DUMP, LinkHeader());
  if (!kind.empty()) {
    nlattr* linkinfo = batch.BeginNest(IFLA_LINKINFO);
    batch.PutString(IFLA_INFO_KIND, kind);
    batch.EndNest(linkinfo);
  }
  std::vector<Link> links;
  CRISP_RETURN_IF_ERROR(Exchange(fd, batch, [&](const nlmsghdr* message) {
    std::optional<Link> link = ParseLink(message);
    if (link && (kind.empty() || link->kind == kind)) links.push_back(*std::move(link));
  }));
  return links;
}

absl::Status DeleteLink(int fd, const std::string& name) {
  NetlinkBatch batch;
  batch.Begin(absl::StrCat("delete interface ", name), RTM_DELLINK, 0, LinkHeader());
  batch.PutString(IFLA_IFNAME, name);
  const absl::Status status = Exchange(fd, batch);
  return ErrnoOf(status) == ENODEV ? absl::OkStatus() : status;
}

absl::Status CreateBridge(int fd, const std::string& name, const MacAddress& mac, int mtu) {
  NetlinkBatch batch;
  batch.Begin(absl::StrCat("create bridge ", name), RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL,
              LinkHeader(0, IFF_UP));
  batch.PutString(IFLA_IFNAME, name);
  batch.Put(IFLA_ADDRESS, mac.data(), mac.size());
  if (mtu > 0) batch.PutU32(IFLA_MTU, static_cast<uint32_t>(mtu));
  nlattr* linkinfo = batch.BeginNest(IFLA_LINKINFO);
  batch.PutString(IFLA_INFO_KIND, "bridge");
  nlattr* data = batch.BeginNest(IFLA_INFO_DATA);
  batch.PutU8(IFLA_BR_MCAST_SNOOPING, 0);
  batch.EndNest(data);
  batch.EndNest(linkinfo);
  return Exchange(fd, batch);
}

absl::StatusOr<std::vector<InterfaceAddress>> ListAddresses(int fd, int link_index) {
  NetlinkBatch batch;
  batch.Begin("list addresses", RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{});
  std::vector<InterfaceAddress> addresses;
  CRISP_RETURN_IF_ERROR(Exchange(fd, batch, [&](const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWADDR ||
        mnl_nlmsg_get_payload_len(message) < sizeof(ifaddrmsg)) {
      return;
    }
    const auto* header = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(message));
    if (link_index != 0 && static_cast<int>(header->ifa_index) != link_index) return;
    std::optional<IpAddress> found;
    ForEachAttribute(message, sizeof(ifaddrmsg), [&](const nlattr* attribute) {
      const uint16_t type = mnl_attr_get_type(attribute);
      // On a point-to-point link only IFA_LOCAL is this end's.
      if (type != IFA_LOCAL && (type != IFA_ADDRESS || found)) return;
      auto address = IpAddress::FromBytes(mnl_attr_get_payload(attribute),
                                          mnl_attr_get_payload_len(attribute));
      if (address.ok()) found = *address;
    });
    if (found) addresses.push_back({*found, header->ifa_prefixlen});
  }));
  return addresses;
}

absl::Status ChangeAddresses(int fd,
                             int link_index,
                             const std::vector<InterfaceAddress>& add,
                             const std::vector<InterfaceAddress>& remove) {
  NetlinkBatch batch;
  for (const InterfaceAddress& address : remove)
    PutAddress(batch, RTM_DELADDR, address, link_index);
  for (const InterfaceAddress& address : add) PutAddress(batch, RTM_NEWADDR, address, link_index);
  return Exchange(fd, batch);
}

absl::StatusOr<std::optional<int>> DefaultRouteMtu(int fd) {
  NetlinkBatch batch;
  rtmsg header{};
  header.rtm_family = AF_INET;
  batch.Begin("list routes", RTM_GETROUTE, NLM_F_DUMP, header);
  uint32_t best_metric = UINT32_MAX;
  int out = 0;
  CRISP_RETURN_IF_ERROR(Exchange(fd, batch, [&](const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(message) < sizeof(rtmsg)) {
      return;
    }
    const auto* route = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
    if (route->rtm_dst_len != 0 || route->rtm_table != RT_TABLE_MAIN) return;
    uint32_t metric = 0;
    int index = 0;
    ForEachAttribute(message, sizeof(rtmsg), [&](const nlattr* attribute) {
      if (mnl_attr_get_type(attribute) == RTA_OIF) index = static_cast<int>(U32Of(attribute));
      if (mnl_attr_get_type(attribute) == RTA_PRIORITY) metric = U32Of(attribute);
    });
    if (index != 0 && metric < best_metric) {
      best_metric = metric;
      out = index;
    }
  }));
  if (out == 0) return std::optional<int>();
  CRISP_ASSIGN_OR_RETURN(const std::vector<Link> links, ListLinks(fd));
  for (const Link& link : links) {
    if (link.index == out) return std::optional<int>(link.mtu);
  }
  return std::optional<int>();
}

absl::Status CreateVeth(int fd, const VethRequest& request) {
  NetlinkBatch batch;
  batch.Begin(absl::StrCat("create veth ", request.host_name), RTM_NEWLINK,
              NLM_F_CREATE | NLM_F_EXCL, LinkHeader(0, IFF_UP));
  batch.PutString(IFLA_IFNAME, request.host_name);
  batch.PutU32(IFLA_MTU, static_cast<uint32_t>(request.mtu));
  batch.PutU32(IFLA_MASTER, static_cast<uint32_t>(request.bridge_index));
  nlattr* linkinfo = batch.BeginNest(IFLA_LINKINFO);
  batch.PutString(IFLA_INFO_KIND, "veth");
  nlattr* data = batch.BeginNest(IFLA_INFO_DATA);
  nlattr* peer = batch.BeginNest(VETH_INFO_PEER);
  // The peer cannot be born up: its other end does not exist yet.
  const ifinfomsg peer_header = LinkHeader();
  batch.PutBare(&peer_header, sizeof(peer_header));
  batch.PutString(IFLA_IFNAME, request.pod_interface);
  batch.PutU32(IFLA_MTU, static_cast<uint32_t>(request.mtu));
  batch.Put(IFLA_ADDRESS, request.pod_mac.data(), request.pod_mac.size());
  batch.PutU32(IFLA_NET_NS_FD, static_cast<uint32_t>(request.pod_netns_fd));
  batch.EndNest(peer);
  batch.EndNest(data);
  batch.EndNest(linkinfo);
  if (request.hairpin) PutHairpin(batch, request.host_name);
  PutNoAddressGeneration(batch, request.host_name);
  return Exchange(fd, batch);
}

absl::Status AwaitCarrier(int fd, const std::string& name, absl::Duration limit) {
  const absl::Time until = absl::Now() + limit;
  // Asking waits for the lock that the kernel takes notice under, so it has mostly done so by then.
  for (absl::Duration pause = absl::Microseconds(100);;
       pause = std::min(pause * 2, absl::Milliseconds(5))) {
    CRISP_ASSIGN_OR_RETURN(const Link link, GetLink(fd, name));
    if (link.carrier) return absl::OkStatus();
    if (absl::Now() >= until) {
      return absl::DeadlineExceededError(
          absl::StrCat("link ", name, " has no carrier after ", absl::FormatDuration(limit)));
    }
    absl::SleepFor(pause);
  }
}

absl::Status SetAlias(int fd, int link_index, const std::string& alias) {
  NetlinkBatch batch;
  batch.Begin("note whose an interface is", RTM_SETLINK, 0, LinkHeader(link_index));
  batch.PutString(IFLA_IFALIAS, alias);
  return Exchange(fd, batch);
}

absl::Status EnableHairpin(int fd, const std::string& port) {
  NetlinkBatch batch;
  PutHairpin(batch, port);
  return Exchange(fd, batch);
}

absl::Status ConfigurePodSide(int rtnl_fd, const PodSideRequest& request) {
  CRISP_ASSIGN_OR_RETURN(const Link link, GetLink(rtnl_fd, request.interface));
  const bool v6 = std::any_of(request.addresses.begin(), request.addresses.end(),
                              [](const InterfaceAddress& a) { return a.address.is_v6(); });
  NetlinkBatch batch;
  PutLoopbackUp(batch);
  PutNoAddressGeneration(batch, request.interface);
  batch.Begin(absl::StrCat("bring ", request.interface, " up"), RTM_SETLINK, 0,
              LinkHeader(link.index, IFF_UP));
  if (v6) PutAddress(batch, RTM_NEWADDR, LinkLocal(request.mac), link.index);
  for (const InterfaceAddress& address : request.addresses) {
    PutAddress(batch, RTM_NEWADDR, address, link.index);
  }
  for (const IpAddress& gateway : request.gateways) PutDefaultRoute(batch, gateway, link.index);
  return Annotate(Exchange(rtnl_fd, batch), "in the pod's namespace");
}

absl::Status BringLoopbackUp(int rtnl_fd) {
  NetlinkBatch batch;
  PutLoopbackUp(batch);
  return Annotate(Exchange(rtnl_fd, batch), "in the pod's namespace");
}

}  // namespace crisp::network
