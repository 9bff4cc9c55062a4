#include "network/link/routes.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "network/link/links.h"
#include "network/link/netlink.h"

namespace crisp::network {
namespace {

constexpr char kDefaults4[][16] = {"10.79.0.0/16", "10.63.0.0/16", "10.117.0.0/16",
                                   "172.29.0.0/16"};
constexpr char kDefault6[] = "fd63:7269:7370::/64";  // the random part spells crisp

std::optional<Route> ParseRoute(const nlmsghdr* message) {
  if (message->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(message) < sizeof(rtmsg)) {
    return std::nullopt;
  }
  const auto* header = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
  if (header->rtm_type == RTN_MULTICAST || header->rtm_type == RTN_BROADCAST ||
      header->rtm_type == RTN_ANYCAST) {
    return std::nullopt;
  }
  if (header->rtm_table != RT_TABLE_MAIN && header->rtm_table != RT_TABLE_LOCAL)
    return std::nullopt;
  Route route{.to = {.address = header->rtm_family == AF_INET6 ? IpAddress::Parse("::").value()
                                                               : IpAddress(),
                     .length = header->rtm_dst_len}};
  ForEachAttribute(message, sizeof(rtmsg), [&](const nlattr* attribute) {
    const uint16_t type = mnl_attr_get_type(attribute);
    if (type == RTA_DST) {
      const auto address = IpAddress::FromBytes(mnl_attr_get_payload(attribute),
                                                mnl_attr_get_payload_len(attribute));
      if (address.ok()) route.to.address = *address;
    } else if (type == RTA_OIF && mnl_attr_get_payload_len(attribute) >= sizeof(uint32_t)) {
      route.link = static_cast<int>(mnl_attr_get_u32(attribute));
    }
  });
  return route;
}

absl::Status ListFamily(int fd, uint8_t family, std::vector<Route>& routes) {
  static const IpPrefix link_local = IpPrefix::Parse("fe80::/10").value();
  NetlinkBatch batch;
  rtmsg header{};
  header.rtm_family = family;
  batch.Begin("list routes", RTM_GETROUTE, NLM_F_DUMP, header);
  return Exchange(fd, batch, [&](const nlmsghdr* message) {
    const std::optional<Route> route = ParseRoute(message);
    if (!route || route->to.length == 0 || link_local.Contains(route->to.address)) return;
    routes.push_back(*route);
  });
}

bool IsFree(const std::vector<Route>& routes, const char* subnet, int link) {
  return !Overlaps(routes, IpPrefix::Parse(subnet).value(), link);
}

}  // namespace

absl::StatusOr<std::vector<Route>> ListRoutes(int fd) {
  std::vector<Route> routes;
  CRISP_RETURN_IF_ERROR(ListFamily(fd, AF_INET, routes));
  if (KernelHasIpv6()) CRISP_RETURN_IF_ERROR(ListFamily(fd, AF_INET6, routes));
  return routes;
}

// The bridge's addresses are local ones, which the kernel files under that interface too.
absl::StatusOr<std::vector<Route>> ListForeignRoutes(int fd, const std::string& bridge) {
  CRISP_ASSIGN_OR_RETURN(std::vector<Route> routes, ListRoutes(fd));
  const absl::StatusOr<Link> link = GetLink(fd, bridge);
  if (absl::IsNotFound(link.status())) return routes;
  if (!link.ok()) return link.status();
  CRISP_ASSIGN_OR_RETURN(const std::vector<InterfaceAddress> own, ListAddresses(fd, link->index));
  std::erase_if(routes, [&](const Route& route) {
    return route.link == link->index ||
           std::any_of(own.begin(), own.end(), [&](const InterfaceAddress& a) {
             return route.to == IpPrefix{.address = a.address, .length = a.address.bits()};
           });
  });
  return routes;
}

absl::StatusOr<Route> RouteTo(int fd, const IpAddress& address) {
  NetlinkBatch batch;
  rtmsg header{};
  header.rtm_family = static_cast<uint8_t>(address.family());
  header.rtm_dst_len = static_cast<uint8_t>(address.bits());
  header.rtm_flags = RTM_F_FIB_MATCH | RTM_F_LOOKUP_TABLE;
  batch.Begin(absl::StrCat("look up the route to ", address.ToString()), RTM_GETROUTE, 0, header);
  batch.Put(RTA_DST, address.data(), address.size());
  std::optional<Route> found;
  const absl::Status status =
      Exchange(fd, batch, [&](const nlmsghdr* message) { found = ParseRoute(message); });
  const int error = ErrnoOf(status);
  if (error == ENETUNREACH || error == EHOSTUNREACH || (status.ok() && !found)) {
    return absl::NotFoundError(absl::StrCat("there is no route to ", address.ToString()));
  }
  if (!status.ok()) return status;
  return *found;
}

const Route* Stealer(const std::vector<Route>& routes, const IpPrefix& subnet, int link) {
  const Route* widest = nullptr;
  for (const Route& route : routes) {
    const bool foreign = route.link == 0 || route.link != link;
    if (!foreign || route.to.length < subnet.length || !subnet.Contains(route.to.address)) continue;
    if (widest == nullptr || route.to.length < widest->to.length) widest = &route;
  }
  return widest;
}

bool Overlaps(const std::vector<Route>& routes, const IpPrefix& subnet, int link) {
  return std::any_of(routes.begin(), routes.end(), [&](const Route& route) {
    return (route.link == 0 || route.link != link) &&
           (subnet.Contains(route.to.address) || route.to.Contains(subnet.address));
  });
}

std::vector<IpPrefix> DefaultSubnets(const std::vector<Route>& routes, int link) {
  const char* chosen = nullptr;
  for (const char* candidate : kDefaults4) {
    if (chosen == nullptr && IsFree(routes, candidate, link)) chosen = candidate;
  }
  // A wide route, to a VPN's 10.0.0.0/8 for instance, yields to a narrower one.
  for (const char* candidate : kDefaults4) {
    if (chosen == nullptr && Stealer(routes, IpPrefix::Parse(candidate).value(), link) == nullptr) {
      chosen = candidate;
    }
  }
  return {IpPrefix::Parse(chosen == nullptr ? kDefaults4[0] : chosen).value(),
          IpPrefix::Parse(kDefault6).value()};
}

}  // namespace crisp::network
