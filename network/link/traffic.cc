#include "network/link/traffic.h"

#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "network/link/links.h"
#include "network/link/netlink.h"

namespace crisp::network {
namespace {

// A packet may be as big as GSO makes it; smaller buckets would have the kernel split each one.
constexpr uint64_t kSmallestBucket = 64u << 10;
constexpr uint64_t kBiggestBucket = 16u << 20;
constexpr uint64_t kMaxQueueMs = 50;

uint32_t Saturate(uint64_t value) {
  return static_cast<uint32_t>(std::min<uint64_t>(value, std::numeric_limits<uint32_t>::max()));
}

void PutTokenBucket(NetlinkBatch& batch, const std::string& name, int link_index, uint64_t bits) {
  tcmsg header{};
  header.tcm_family = AF_UNSPEC;
  header.tcm_ifindex = link_index;
  header.tcm_parent = TC_H_ROOT;
  header.tcm_handle = 1u << 16;
  batch.Begin(absl::StrCat("limit ", name, " to ", bits, " bit/s"), RTM_NEWQDISC,
              NLM_F_CREATE | NLM_F_REPLACE, header);
  const uint64_t rate = std::max<uint64_t>(bits / 8, 1);
  const uint64_t bucket = std::clamp(rate / 20, kSmallestBucket, kBiggestBucket);
  const auto ticks_per_ns = [](uint64_t ns) { return Saturate(ns >> 6); };  // PSCHED_SHIFT
  tc_tbf_qopt options{};
  options.rate.rate = Saturate(rate);
  options.rate.linklayer = TC_LINKLAYER_ETHERNET;  // no rate table needed
  options.limit = Saturate(rate * kMaxQueueMs / 1000 + bucket);
  options.buffer = ticks_per_ns(bucket * 1'000'000'000 / rate);
  batch.PutString(TCA_KIND, "tbf");
  nlattr* nest = batch.BeginNest(TCA_OPTIONS);
  batch.Put(TCA_TBF_PARMS, &options, sizeof(options));
  batch.PutU32(TCA_TBF_BURST, static_cast<uint32_t>(bucket));
  if (rate > std::numeric_limits<uint32_t>::max()) batch.Put(TCA_TBF_RATE64, &rate, sizeof(rate));
  batch.EndNest(nest);
}

void PutIngressQdisc(NetlinkBatch& batch, const std::string& name, int link_index) {
  tcmsg header{};
  header.tcm_ifindex = link_index;
  header.tcm_parent = TC_H_INGRESS;
  header.tcm_handle = 0xffff0000u;
  batch.Begin(absl::StrCat("ingress qdisc of ", name), RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE,
              header);
  batch.PutString(TCA_KIND, "ingress");
}

// Everything that comes in is sent to the other device: u32 with one key that matches any packet.
void PutRedirect(NetlinkBatch& batch, const std::string& name, int link_index, int to_index) {
  tcmsg header{};
  header.tcm_ifindex = link_index;
  header.tcm_parent = 0xffff0000u;
  header.tcm_info = (1u << 16) | __builtin_bswap16(ETH_P_ALL);  // priority, protocol
  batch.Begin(absl::StrCat("redirect of ", name), RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL,
              header);
  batch.PutString(TCA_KIND, "u32");
  nlattr* options = batch.BeginNest(TCA_OPTIONS);
  nlattr* actions = batch.BeginNest(TCA_U32_ACT);
  nlattr* first = batch.BeginNest(1);
  batch.PutString(TCA_ACT_KIND, "mirred");
  nlattr* parameters = batch.BeginNest(TCA_ACT_OPTIONS);
  tc_mirred mirred{};
  mirred.action = TC_ACT_STOLEN;
  mirred.eaction = TCA_EGRESS_REDIR;
  mirred.ifindex = static_cast<uint32_t>(to_index);
  batch.Put(TCA_MIRRED_PARMS, &mirred, sizeof(mirred));
  batch.EndNest(parameters);
  batch.EndNest(first);
  batch.EndNest(actions);
  alignas(tc_u32_sel) char selector[sizeof(tc_u32_sel) + sizeof(tc_u32_key)] = {};
  auto* head = reinterpret_cast<tc_u32_sel*>(selector);
  head->flags = TC_U32_TERMINAL;
  head->nkeys = 1;
  batch.Put(TCA_U32_SEL, selector, sizeof(selector));
  batch.EndNest(options);
}

absl::StatusOr<int> CreateIfb(int fd, const std::string& name) {
  NetlinkBatch batch;
  ifinfomsg header{};
  header.ifi_flags = header.ifi_change = IFF_UP;
  batch.Begin(absl::StrCat("create ifb ", name), RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, header);
  batch.PutString(IFLA_IFNAME, name);
  nlattr* linkinfo = batch.BeginNest(IFLA_LINKINFO);
  batch.PutString(IFLA_INFO_KIND, "ifb");
  batch.EndNest(linkinfo);
  CRISP_RETURN_IF_ERROR(Exchange(fd, batch));
  CRISP_ASSIGN_OR_RETURN(const Link link, GetLink(fd, name));
  return link.index;
}

}  // namespace

absl::Status LimitBandwidth(int fd,
                            const std::string& host_veth,
                            const std::string& ifb_name,
                            const Bandwidth& bandwidth) {
  if (!bandwidth.limited()) return absl::OkStatus();
  CRISP_ASSIGN_OR_RETURN(const Link veth, GetLink(fd, host_veth));
  NetlinkBatch batch;
  if (bandwidth.ingress != 0) PutTokenBucket(batch, host_veth, veth.index, bandwidth.ingress);
  if (bandwidth.egress != 0) {
    CRISP_ASSIGN_OR_RETURN(const int ifb_index, CreateIfb(fd, ifb_name));
    PutTokenBucket(batch, ifb_name, ifb_index, bandwidth.egress);
    PutIngressQdisc(batch, host_veth, veth.index);
    PutRedirect(batch, host_veth, veth.index, ifb_index);
  }
  return Exchange(fd, batch);
}

}  // namespace crisp::network
