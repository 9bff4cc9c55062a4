#include "bench/floor/network.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "bench/floor/sys.h"

namespace crisp::bench {
namespace {

constexpr uint32_t kSubnet = 10u << 24 | 96u << 16;

// eth0's number: the same in every new namespace of a kernel.
int g_pod_link = 0;

int FindLink(int socket, const char* name) {
  ifreq request = {};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  Check(ioctl(socket, SIOCGIFINDEX, &request), "find eth0");
  return request.ifr_ifindex;
}

// Requests for one send, each acknowledged.
class Batch {
 public:
  nlmsghdr* Begin(uint16_t type, uint16_t flags) {
    header_ = mnl_nlmsg_put_header(bytes_ + size_);
    header_->nlmsg_type = type;
    header_->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    return header_;
  }
  void End() {
    size_ += MNL_ALIGN(header_->nlmsg_len);
    ++count_;
  }
  void Exchange(int socket, const char* what) {
    if (errno = TryExchange(socket); errno != 0) Die(what);
  }
  // 0, or the errno of the last request that failed.
  int TryExchange(int socket) {
    int error = 0;
    if (send(socket, bytes_, size_, 0) < 0) return errno;
    alignas(nlmsghdr) char answer[8192];
    while (count_ > 0) {
      const ssize_t size = recv(socket, answer, sizeof(answer), 0);
      if (size < 0) return errno;
      int left = static_cast<int>(size);
      const auto* message = reinterpret_cast<const nlmsghdr*>(answer);
      for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
        if (message->nlmsg_type != NLMSG_ERROR) continue;
        const auto* answered = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
        if (answered->error != 0) error = -answered->error;
        --count_;
      }
    }
    return error;
  }

 private:
  alignas(nlmsghdr) char bytes_[4096] = {};
  size_t size_ = 0;
  int count_ = 0;
  nlmsghdr* header_ = nullptr;
};

template <typename Header>
Header* Extra(nlmsghdr* message) {
  return static_cast<Header*>(mnl_nlmsg_put_extra_header(message, sizeof(Header)));
}

void PutLinkUp(Batch* batch, int index) {
  auto* link = Extra<ifinfomsg>(batch->Begin(RTM_SETLINK, 0));
  link->ifi_index = index;
  link->ifi_flags = link->ifi_change = IFF_UP;
  batch->End();
}

void PutAddress(Batch* batch, int index, uint32_t host) {
  nlmsghdr* message = batch->Begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  auto* address = Extra<ifaddrmsg>(message);
  address->ifa_family = AF_INET;
  address->ifa_prefixlen = 16;
  address->ifa_index = static_cast<uint32_t>(index);
  mnl_attr_put_u32(message, IFA_LOCAL, htonl(kSubnet + host));
  mnl_attr_put_u32(message, IFA_ADDRESS, htonl(kSubnet + host));
  batch->End();
}

void PutDefaultRoute(Batch* batch, int index) {
  nlmsghdr* message = batch->Begin(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
  auto* route = Extra<rtmsg>(message);
  route->rtm_family = AF_INET;
  route->rtm_table = RT_TABLE_MAIN;
  route->rtm_protocol = RTPROT_STATIC;
  route->rtm_type = RTN_UNICAST;
  mnl_attr_put_u32(message, RTA_GATEWAY, htonl(kSubnet + 1));
  mnl_attr_put_u32(message, RTA_OIF, static_cast<uint32_t>(index));
  batch->End();
}

}  // namespace

int OpenRouteSocket() {
  return Check(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), "open netlink");
}

Bridge::Bridge(std::string name) : name_(std::move(name)), socket_(OpenRouteSocket()) {
  Batch batch;
  nlmsghdr* message = batch.Begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  auto* link = Extra<ifinfomsg>(message);
  link->ifi_flags = link->ifi_change = IFF_UP;
  mnl_attr_put_strz(message, IFLA_IFNAME, name_.c_str());
  nlattr* info = mnl_attr_nest_start(message, IFLA_LINKINFO);
  mnl_attr_put_strz(message, IFLA_INFO_KIND, "bridge");
  nlattr* data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
  mnl_attr_put_u8(message, IFLA_BR_MCAST_SNOOPING, 0);
  mnl_attr_nest_end(message, data);
  mnl_attr_nest_end(message, info);
  batch.End();
  batch.Exchange(socket_, "create the bridge");
  index_ = static_cast<int>(if_nametoindex(name_.c_str()));
  Batch address;
  PutAddress(&address, index_, 1);
  address.Exchange(socket_, "give the bridge its address");
}

Bridge::~Bridge() {
  if (owned_) {
    Batch batch;
    nlmsghdr* message = batch.Begin(RTM_DELLINK, 0);
    Extra<ifinfomsg>(message)->ifi_index = index_;
    batch.End();
    (void)batch.TryExchange(socket_);
  }
  close(socket_);
}

void Bridge::Borrow() {
  owned_ = false;
  close(socket_);
  socket_ = OpenRouteSocket();
}

void Bridge::AddPod(const std::string& host_end, int pod_netns) {
  Batch batch;
  nlmsghdr* message = batch.Begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  auto* link = Extra<ifinfomsg>(message);
  link->ifi_flags = link->ifi_change = IFF_UP;
  mnl_attr_put_strz(message, IFLA_IFNAME, host_end.c_str());
  mnl_attr_put_u32(message, IFLA_MASTER, static_cast<uint32_t>(index_));
  nlattr* info = mnl_attr_nest_start(message, IFLA_LINKINFO);
  mnl_attr_put_strz(message, IFLA_INFO_KIND, "veth");
  nlattr* data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
  nlattr* peer = mnl_attr_nest_start(message, VETH_INFO_PEER);
  Extra<ifinfomsg>(message);
  mnl_attr_put_strz(message, IFLA_IFNAME, "eth0");
  mnl_attr_put_u32(message, IFLA_NET_NS_FD, static_cast<uint32_t>(pod_netns));
  mnl_attr_nest_end(message, peer);
  mnl_attr_nest_end(message, data);
  mnl_attr_nest_end(message, info);
  batch.End();
  batch.Exchange(socket_, "create the veth pair");
}

void ConfigurePod(int pod_socket, uint32_t host) {
  if (g_pod_link == 0) g_pod_link = FindLink(pod_socket, "eth0");
  Batch batch;
  PutLinkUp(&batch, 1);
  PutLinkUp(&batch, g_pod_link);
  PutAddress(&batch, g_pod_link, host);
  PutDefaultRoute(&batch, g_pod_link);
  batch.Exchange(pod_socket, "configure the pod's network");
}

}  // namespace crisp::bench
