#include "network/conntrack.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"
#include "network/netlink.h"

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
  std::optional<IpAddress> from;
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
      if (part_type == CTA_TUPLE_IP && (type == CTA_IP_V4_SRC || type == CTA_IP_V6_SRC)) {
        auto address =
            IpAddress::FromBytes(mnl_attr_get_payload(field), mnl_attr_get_payload_len(field));
        if (address.ok()) tuple.from = *address;
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

// The flow when it is one of those to forget.
std::optional<Flow> Match(const nlmsghdr* message, const std::vector<PortTarget>& targets) {
  if (mnl_nlmsg_get_payload_len(message) < sizeof(nfgenmsg)) return std::nullopt;
  Tuple original, reply;
  uint32_t status = 0;
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
      case CTA_STATUS:
        status = ntohl(Read<uint32_t>(attribute));
        break;
      default:
        break;
    }
  });
  if (original.protocol != IPPROTO_UDP) return std::nullopt;
  for (const auto& [port, pod] : targets) {
    if (port.protocol != Protocol::kUdp || port.host_port != original.to_port) continue;
    if ((status & IPS_SEEN_REPLY) == 0 || reply.from == pod) return flow;
  }
  return std::nullopt;
}

}  // namespace

absl::Status ForgetUdpFlows(const std::vector<PortTarget>& targets) {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!fd) return ErrnoError(errno, "open a NETLINK_NETFILTER socket");
  NetlinkBatch list;
  list.Begin("list connections", Type(IPCTNL_MSG_CT_GET), NLM_F_DUMP, Header(AF_UNSPEC));
  std::vector<Flow> flows;
  CRISP_RETURN_IF_ERROR(Exchange(fd.get(), list, [&](const nlmsghdr* message) {
    if (message->nlmsg_type != Type(IPCTNL_MSG_CT_NEW)) return;
    if (auto flow = Match(message, targets)) flows.push_back(*std::move(flow));
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
