#include "network/bridge/conntrack.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "network/link/links.h"
#include "network/link/netlink.h"
#include "network/values/ip_address.h"

namespace crisp::network {
namespace {

constexpr uint16_t Type(int message) {
  return static_cast<uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | message);
}

nfgenmsg Header(uint8_t family) {
  nfgenmsg header{};
  header.nfgen_family = family;
  header.version = NFNETLINK_V0;
  return header;
}

struct Tuple {
  uint8_t protocol = 0;
  uint16_t to_port = 0;
  std::optional<IpAddress> from, to;
};

template <typename T>
T Read(const nlattr* attribute) {
  T value{};
  std::memcpy(&value, mnl_attr_get_payload(attribute),
              std::min<size_t>(sizeof(T), mnl_attr_get_payload_len(attribute)));
  return value;
}

Tuple ReadTuple(const nlattr* attribute) {
  Tuple tuple;
  ForEachNested(attribute, [&](const nlattr* part) {
    const uint16_t part_type = mnl_attr_get_type(part);
    ForEachNested(part, [&](const nlattr* field) {
      const uint16_t type = mnl_attr_get_type(field);
      if (part_type == CTA_TUPLE_IP) {
        const bool source = type == CTA_IP_V4_SRC || type == CTA_IP_V6_SRC;
        auto address =
            IpAddress::FromBytes(mnl_attr_get_payload(field), mnl_attr_get_payload_len(field));
        if (address.ok()) (source ? tuple.from : tuple.to) = *address;
      } else if (part_type == CTA_TUPLE_PROTO && type == CTA_PROTO_NUM) {
        tuple.protocol = Read<uint8_t>(field);
      } else if (part_type == CTA_TUPLE_PROTO && type == CTA_PROTO_DST_PORT) {
        tuple.to_port = ntohs(Read<uint16_t>(field));
      }
    });
  });
  return tuple;
}

struct Flow {
  uint8_t family = 0;
  std::string original;  // the attribute's payload, as the delete request wants it
};

bool Covers(const HostPort& port, const IpAddress& address) {
  if (!port.host_ip) return true;
  if (port.host_ip->is_v6() != address.is_v6()) return false;
  return port.host_ip->is_unspecified() || *port.host_ip == address;
}

// The published ports, and the host's own addresses.
struct Present {
  const std::vector<PortTarget>& targets;
  absl::flat_hash_set<IpAddress> own;  // addresses of the host

  bool IsOwn(const IpAddress& address) const {
    static const IpPrefix loopback = IpPrefix::Parse("127.0.0.0/8").value();
    return own.contains(address) || loopback.Contains(address);
  }
};

// `pod` is whose the changed port was, or is.
bool IsStale(const Tuple& original, const Tuple& reply, const IpAddress& pod, const Present& now) {
  bool published = false;
  for (const auto& [port, target] : now.targets) {
    if (port.protocol != Protocol::kUdp || port.host_port != original.to_port) continue;
    if (target.is_v6() != original.to->is_v6() || !Covers(port, *original.to)) continue;
    if (reply.from == target) return false;
    published = true;
  }
  // To the host itself; elsewhere the port is another's, and its answers may be under way.
  const bool untranslated = reply.from == original.to;
  return reply.from == pod || (published && untranslated && now.IsOwn(*original.to));
}

// The flow when it is one of those to forget.
std::optional<Flow> Match(const nlmsghdr* message,
                          const std::vector<PortTarget>& changed,
                          const Present& now) {
  if (mnl_nlmsg_get_payload_len(message) < sizeof(nfgenmsg)) return std::nullopt;
  Tuple original, reply;
  Flow flow{.family = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(message))->nfgen_family};
  ForEachAttribute(message, sizeof(nfgenmsg), [&](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case CTA_TUPLE_ORIG:
        original = ReadTuple(attribute);
        flow.original.assign(static_cast<const char*>(mnl_attr_get_payload(attribute)),
                             mnl_attr_get_payload_len(attribute));
        break;
      case CTA_TUPLE_REPLY:
        reply = ReadTuple(attribute);
        break;
      default:
        break;
    }
  });
  if (original.protocol != IPPROTO_UDP || !original.to || !reply.from) return std::nullopt;
  for (const auto& [port, pod] : changed) {
    if (port.protocol != Protocol::kUdp || port.host_port != original.to_port) continue;
    if (!Covers(port, *original.to)) continue;
    if (IsStale(original, reply, pod, now)) return flow;
  }
  return std::nullopt;
}

}  // namespace

absl::Status ForgetUdpFlows(const std::vector<PortTarget>& changed,
                            const std::vector<PortTarget>& current) {
  Present now{.targets = current};
  CRISP_ASSIGN_OR_RETURN(const UniqueFd rtnl, OpenRtnl());
  CRISP_ASSIGN_OR_RETURN(const std::vector<InterfaceAddress> own, ListAddresses(rtnl.get()));
  for (const InterfaceAddress& address : own) now.own.insert(address.address);
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!fd) return ErrnoError(errno, "open a NETLINK_NETFILTER socket");
  NetlinkBatch list;
  list.Begin("list connections", Type(IPCTNL_MSG_CT_GET), NLM_F_DUMP, Header(AF_UNSPEC));
  std::vector<Flow> flows;
  CRISP_RETURN_IF_ERROR(Exchange(fd.get(), list, [&](const nlmsghdr* message) {
    if (message->nlmsg_type != Type(IPCTNL_MSG_CT_NEW)) return;
    if (auto flow = Match(message, changed, now)) flows.push_back(*std::move(flow));
  }));
  for (const Flow& flow : flows) {
    NetlinkBatch forget;
    forget.Begin("forget a connection", Type(IPCTNL_MSG_CT_DELETE), 0, Header(flow.family));
    forget.Put(CTA_TUPLE_ORIG | NLA_F_NESTED, flow.original.data(), flow.original.size());
    const absl::Status status = Exchange(fd.get(), forget);
    if (ErrnoOf(status) != ENOENT) CRISP_RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

}  // namespace crisp::network
