#include "network/bridge/port_holds.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace crisp::network {
namespace {

// To ask for a socket loads the module, which brings the node what nobody wanted of it.
bool KernelHasSctp() { return access("/proc/net/sctp", F_OK) == 0; }

socklen_t Fill(const IpAddress& ip, uint16_t port, sockaddr_storage& storage) {
  storage = {};
  if (ip.is_v6()) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    std::memcpy(&v6->sin6_addr, ip.data(), ip.size());
    return sizeof(*v6);
  }
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  v4->sin_family = AF_INET;
  v4->sin_port = htons(port);
  std::memcpy(&v4->sin_addr, ip.data(), ip.size());
  return sizeof(*v4);
}

absl::Status Set(int fd, int level, int option, int value) {
  if (setsockopt(fd, level, option, &value, sizeof(value)) == 0) return absl::OkStatus();
  return ErrnoError(errno, absl::StrCat("set option ", option, " of a socket that holds a port"));
}

absl::StatusOr<UniqueFd> MakeSocket(const HostPort& port, bool v6) {
  const bool udp = port.protocol == Protocol::kUdp;
  const int protocol = port.protocol == Protocol::kSctp ? IPPROTO_SCTP : 0;
  UniqueFd fd(
      socket(v6 ? AF_INET6 : AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, protocol));
  if (!fd)
    return ErrnoError(errno, absl::StrCat("make a socket to hold host port ", port.ToString()));
  // The other family's packets are another socket's; an address may come to the node later.
  if (v6) CRISP_RETURN_IF_ERROR(Set(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1));
  if (v6) CRISP_RETURN_IF_ERROR(Set(fd.get(), IPPROTO_IPV6, IPV6_FREEBIND, 1));
  if (!v6) CRISP_RETURN_IF_ERROR(Set(fd.get(), IPPROTO_IP, IP_FREEBIND, 1));
  if (!udp) return fd;
  // A datagram that no rule translates, to ::1 for instance, would wait here for a reader.
  sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog program = {.len = 1, .filter = &nothing};
  if (setsockopt(fd.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0) {
    return ErrnoError(errno, "shut a socket that holds a port");
  }
  return fd;
}

// Invalid where there is nothing to hold.
absl::StatusOr<UniqueFd> HoldOne(const PortTarget& target) {
  const HostPort& port = target.port;
  if (port.protocol == Protocol::kSctp && !KernelHasSctp()) return UniqueFd();
  const bool v6 = target.pod.is_v6();
  CRISP_ASSIGN_OR_RETURN(UniqueFd fd, MakeSocket(port, v6));
  static const IpAddress any6 = IpAddress::Parse("::").value();
  sockaddr_storage address;
  const socklen_t size =
      Fill(port.host_ip.value_or(v6 ? any6 : IpAddress()), port.host_port, address);
  // With it a TCP port is free whose last connections have ended a moment ago; without it
  // afterwards, nobody who has it can listen on the port. (A datagram socket would share the port.)
  const bool reuse = port.protocol != Protocol::kUdp;
  if (reuse) CRISP_RETURN_IF_ERROR(Set(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1));
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) {
    const int error = errno;
    if (error == EADDRINUSE) {
      return absl::AlreadyExistsError(absl::StrCat("host port ", port.ToString(),
                                                   " is taken by a process of the node; `ss -anp` "
                                                   "shows which"));
    }
    // A link-local address means nothing without an interface.
    if (error == EINVAL && port.host_ip) return UniqueFd();
    return ErrnoError(error, absl::StrCat("hold host port ", port.ToString()));
  }
  if (reuse) CRISP_RETURN_IF_ERROR(Set(fd.get(), SOL_SOCKET, SO_REUSEADDR, 0));
  return fd;
}

}  // namespace

absl::Status PortHolds::Hold(const std::string& pod_id, const std::vector<PortTarget>& targets) {
  std::vector<UniqueFd> held;
  for (const PortTarget& target : targets) {
    CRISP_ASSIGN_OR_RETURN(UniqueFd fd, HoldOne(target));
    if (fd) held.push_back(std::move(fd));
  }
  if (!held.empty()) holds_[pod_id] = std::move(held);
  return absl::OkStatus();
}

void PortHolds::HoldAgain(const std::string& pod_id, const std::vector<PortTarget>& targets) {
  std::vector<UniqueFd> held;
  for (const PortTarget& target : targets) {
    absl::StatusOr<UniqueFd> fd = HoldOne(target);
    // The process that has taken it from the earlier daemon still has it.
    if (absl::IsAlreadyExists(fd.status())) continue;
    if (!fd.ok())
      LogWarning("host_port_not_held", {{"pod", pod_id}, {"error", fd.status().message()}});
    if (fd.ok() && *fd) held.push_back(*std::move(fd));
  }
  if (!held.empty()) holds_[pod_id] = std::move(held);
}

std::vector<UniqueFd> PortHolds::Take(const std::string& pod_id) {
  const auto it = holds_.find(pod_id);
  if (it == holds_.end()) return {};
  std::vector<UniqueFd> taken = std::move(it->second);
  holds_.erase(it);
  return taken;
}

}  // namespace crisp::network
