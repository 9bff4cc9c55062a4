// The two ends of a pod's link.

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "cli/explain/explain_collect.h"
#include "network/link/links.h"
#include "network/link/netlink.h"

namespace crisp::cli {
namespace {

constexpr char kInterface[] = "eth0";

// Of the namespace that the descriptor is of. A thread of its own enters it and ends there.
std::optional<network::Link> LinkIn(int netns) {
  std::optional<network::Link> found;
  std::thread([&] {
    if (setns(netns, CLONE_NEWNET) != 0) return;
    const absl::StatusOr<UniqueFd> rtnl = network::OpenRtnl();
    if (!rtnl.ok()) return;
    absl::StatusOr<network::Link> link = network::GetLink(rtnl->get(), kInterface);
    if (link.ok()) found = *std::move(link);
  }).join();
  return found;
}

}  // namespace

void CollectLink(int64_t pid, NetworkFact* fact) {
  const absl::StatusOr<UniqueFd> netns =
      Open(absl::StrCat("/proc/", pid, "/ns/net"), O_RDONLY | O_CLOEXEC);
  if (!netns.ok()) return;
  const std::optional<network::Link> inside = LinkIn(netns->get());
  if (!inside.has_value()) return;
  fact->inside = InterfaceFact{.name = inside->name,
                               .mac = inside->mac,
                               .mtu = inside->mtu,
                               .received_bytes = inside->counters.rx_bytes,
                               .sent_bytes = inside->counters.tx_bytes,
                               .received_drops = inside->counters.rx_dropped,
                               .sent_drops = inside->counters.tx_dropped};
  const absl::StatusOr<UniqueFd> rtnl = network::OpenRtnl();
  if (!rtnl.ok() || inside->peer == 0) return;
  const auto links = network::ListLinks(rtnl->get());
  if (!links.ok()) return;
  for (const network::Link& veth : *links) {
    if (veth.index != inside->peer || veth.kind != "veth") continue;
    fact->veth = veth.name;
    for (const network::Link& bridge : *links) {
      if (bridge.index == veth.master) fact->bridge = bridge.name;
    }
  }
}

}  // namespace crisp::cli
