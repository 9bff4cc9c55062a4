#include "network/bridge/bridge_network.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log.h"
#include "base/status.h"
#include "network/values/bandwidth.h"
#include "network/values/digest.h"

namespace crisp::network {
namespace {

constexpr absl::Duration kSweepPeriod = absl::Seconds(15);
constexpr absl::Duration kCarrierTime = absl::Seconds(1);

std::vector<IpPrefix> WithoutUnsupported(std::vector<IpPrefix> subnets) {
  if (KernelHasIpv6()) return subnets;
  const size_t before = subnets.size();
  std::erase_if(subnets, [](const IpPrefix& subnet) { return subnet.address.is_v6(); });
  if (subnets.size() != before)
    LogWarning("no_ipv6_in_this_kernel", {{"effect", "IPv4 pods only"}});
  return subnets;
}

}  // namespace

Attachment BridgeNetwork::ResultOf(const PodRecord& record) {
  Attachment attachment{.mac = record.mac};
  for (const InterfaceAddress& a : record.addresses) {
    attachment.addresses.push_back(a.address.ToString());
  }
  return attachment;
}

BridgeNetwork::BridgeNetwork(const NetworkOptions& options,
                             BridgeClaim claim,
                             std::unique_ptr<PodRecordStore> store,
                             std::unique_ptr<HostSide> host)
    : options_(options),
      claim_(std::move(claim)),
      store_(std::move(store)),
      host_(std::move(host)) {}

BridgeNetwork::~BridgeNetwork() { monitor_.reset(); }

absl::StatusOr<std::unique_ptr<BridgeNetwork>> BridgeNetwork::Create(
    const NetworkOptions& options) {
  CRISP_ASSIGN_OR_RETURN(std::unique_ptr<HostSide> host,
                         HostSide::Create({.bridge = options.bridge_name,
                                           .masquerade = options.masquerade,
                                           .mtu = static_cast<int>(options.mtu),
                                           .state = options.state,
                                           .anti_spoofing = options.anti_spoofing}));
  CRISP_ASSIGN_OR_RETURN(BridgeClaim claim, BridgeClaim::Take(options.bridge_name));
  CRISP_RETURN_IF_ERROR(host->CheckOwner());
  CRISP_ASSIGN_OR_RETURN(std::unique_ptr<PodRecordStore> store,
                         PodRecordStore::Open(options.state));
  CRISP_ASSIGN_OR_RETURN(const std::vector<PodRecord> records, store->Load());
  std::unique_ptr<BridgeNetwork> network(
      new BridgeNetwork(options, std::move(claim), std::move(store), std::move(host)));
  CRISP_RETURN_IF_ERROR(network->Recover(records));
  BridgeNetwork* self = network.get();
  CRISP_ASSIGN_OR_RETURN(
      network->monitor_,
      LinkMonitor::Start({.on_gone = [self](const std::string& name) { self->OnLinkGone(name); },
                          .sweep = [self] { self->Sweep(); }},
                         kSweepPeriod));
  return network;
}

absl::Status BridgeNetwork::Recover(const std::vector<PodRecord>& records) {
  absl::MutexLock kernel(&kernel_mutex_);
  for (PodRecord record : records) {
    // Spares end with their daemon.
    if (record.state == State::kPrepared) record.state = State::kDraining;
    recovered_.insert(record.host_veth);
    if (record.state != State::kDraining) {
      const absl::Status claimed = port_owners_.Claim(record.pod_id, record.pod_name, record.ports);
      if (!claimed.ok()) LogWarning("host_port_record_collides", {{"error", claimed.message()}});
      const auto targets = TargetsOf(record);
      if (targets.ok()) port_holds_.HoldAgain(record.pod_id, *targets);
    }
    absl::MutexLock lock(&mutex_);
    records_[record.host_veth] = record;
    if (record.state != State::kDraining) veth_of_pod_[record.pod_id] = record.host_veth;
  }
  CRISP_ASSIGN_OR_RETURN(const std::vector<IpPrefix> subnets, Subnets());
  CRISP_RETURN_IF_ERROR(UseSubnets(subnets));
  (void)CheckSubnets();  // the node's condition, no reason not to serve what is there
  return absl::OkStatus();
}

absl::Status BridgeNetwork::UseSubnets(const std::vector<IpPrefix>& subnets) {
  const std::vector<IpPrefix> usable = WithoutUnsupported(subnets);
  if (usable.empty()) return absl::InvalidArgumentError("only IPv6 pod networks, and no IPv6 here");
  std::vector<AddressPool> pools;
  for (const IpPrefix& subnet : usable) {
    CRISP_ASSIGN_OR_RETURN(AddressPool pool, AddressPool::Create(subnet));
    pools.push_back(std::move(pool));
  }
  absl::MutexLock lock(&mutex_);
  for (const auto& [veth, record] : records_) {
    for (const InterfaceAddress& a : record.addresses) {
      for (AddressPool& pool : pools) pool.Reserve(a.address);
    }
  }
  pools_ = std::move(pools);
  subnets_ = usable;
  return absl::OkStatus();
}

absl::StatusOr<PodRecord> BridgeNetwork::Plan(const AttachRequest& request,
                                              std::vector<HostPort> ports,
                                              bool limit_egress) {
  PodRecord record{.pod_id = request.pod_id,
                   .pod_name = absl::StrCat(request.pod_namespace, "/", request.pod_name),
                   .ports = std::move(ports)};
  std::string digits;
  {
    absl::MutexLock lock(&mutex_);
    // A predecessor with this pod's id may be draining still.
    for (int salt = 0; record.host_veth.empty() || records_.contains(record.host_veth); ++salt) {
      digits =
          absl::StrFormat("%016x", Digest64(absl::StrCat(request.pod_id, "/", salt))).substr(5);
      record.host_veth = absl::StrCat("veth", digits);
    }
  }
  if (limit_egress) record.ifb = absl::StrCat("ifb", digits);
  absl::Status status;
  for (AddressPool& pool : pools_) {
    if (pool.free_count() == 0) FreeGone();
    if (pool.free_count() == 0) GiveBackSome(1);
    const absl::StatusOr<IpAddress> address = pool.Allocate();
    if (!address.ok()) {
      status = address.status();
      break;
    }
    record.addresses.push_back({*address, pool.subnet().length});
  }
  if (status.ok()) {
    record.mac = ToString(MacFor(record.addresses.front().address));
    status = TakePorts(record);
  }
  if (status.ok()) status = Put(record);
  if (!status.ok()) {
    Free(record);
    return status;
  }
  return record;
}

absl::StatusOr<Attachment> BridgeNetwork::Attach(const AttachRequest& request,
                                                 const Operation& operation) {
  CRISP_ASSIGN_OR_RETURN(std::vector<HostPort> ports, CheckHostPorts(request.ports));
  CRISP_ASSIGN_OR_RETURN(const Bandwidth bandwidth, BandwidthOf(request.annotations));
  if (request.pod_id.empty() || request.netns_fd < 0 || request.rtnl_fd < 0) {
    return absl::InvalidArgumentError("attach: no pod id or no network namespace is given");
  }
  bool built = false;
  absl::StatusOr<Attachment> attached =
      AttachOnce(request, std::move(ports), bandwidth, operation, &built);
  if (built && attached.ok()) AwaitLink(request.pod_id);
  return attached;
}

void BridgeNetwork::AwaitLink(const std::string& pod) {
  const std::optional<PodRecord> record = OfPod(pod);
  if (!record.has_value()) return;
  const absl::StatusOr<UniqueFd> rtnl = OpenRtnl();
  const absl::Status up =
      rtnl.ok() ? AwaitCarrier(rtnl->get(), record->host_veth, kCarrierTime) : rtnl.status();
  // It comes in the end, and lost packets are sent again.
  if (!up.ok()) LogWarning("network.late", {{"pod", record->pod_name}, {"error", up.message()}});
}

absl::StatusOr<Attachment> BridgeNetwork::AttachOnce(const AttachRequest& request,
                                                     std::vector<HostPort> ports,
                                                     const Bandwidth& bandwidth,
                                                     const Operation& operation,
                                                     bool* built) {
  absl::MutexLock kernel(&kernel_mutex_);
  if (const std::optional<PodRecord> known = OfPod(request.pod_id)) {
    if (known->state == State::kAttached) return ResultOf(*known);
    CRISP_RETURN_IF_ERROR(Annotate(Undo(*known), "an earlier attempt cannot be undone"));
  }
  CRISP_RETURN_IF_ERROR(operation.Check("attach"));
  CRISP_RETURN_IF_ERROR(Annotate(EnsureHost(), "pod network"));
  if (const std::optional<PodRecord> prepared = OfPod(request.prepared)) {
    if (!bandwidth.limited() && prepared->state == State::kPrepared) {
      return Adopt(*prepared, request, std::move(ports));
    }
    CRISP_RETURN_IF_ERROR(GiveBackLocked(request.prepared));
  }
  *built = true;
  CRISP_ASSIGN_OR_RETURN(const PodRecord record,
                         Plan(request, std::move(ports), bandwidth.egress != 0));
  absl::Status status = CheckRoutes(record);
  if (status.ok()) {
    status = Build(
        record, {.netns_fd = request.netns_fd, .rtnl_fd = request.rtnl_fd, .bandwidth = bandwidth});
  }
  if (status.ok()) status = operation.Check("attach");
  CRISP_RETURN_IF_ERROR(Settle(record, State::kAttached, std::move(status)));
  return ResultOf(record);
}

absl::Status BridgeNetwork::Settle(PodRecord record, State state, absl::Status status) {
  if (status.ok()) {
    record.state = state;
    status = Put(record);
  }
  if (status.ok()) return status;
  if (const absl::Status undone = Undo(record); !undone.ok()) {
    LogWarning("network_undo_failed", {{"pod", record.pod_name}, {"error", undone.message()}});
  }
  return Annotate(status, absl::StrCat("network of pod ", record.pod_name));
}

absl::Status BridgeNetwork::Build(const PodRecord& record, const HostSide::Pod& pod) {
  const MacAddress mac = MacFor(record.addresses.front().address);
  if (!host_->Guard(record).ok()) {
    host_->Invalidate();  // somebody flushed the rule set
    CRISP_RETURN_IF_ERROR(EnsureHost());
  }
  absl::Status status = host_->BuildPod(record, mac, pod);
  const int error = ErrnoOf(status);
  if (error == EEXIST || error == EINVAL || error == ENODEV) {
    // A link of a forgotten life has the name, or somebody deleted the bridge: once more, afresh.
    CRISP_RETURN_IF_ERROR(host_->DeletePodLinks(record));
    host_->Invalidate();
    CRISP_RETURN_IF_ERROR(EnsureHost());
    status = host_->BuildPod(record, mac, pod);
  }
  CRISP_RETURN_IF_ERROR(status);
  return ChangePorts("add", record);
}

absl::Status BridgeNetwork::ChangePorts(const char* verb, const PodRecord& record) {
  CRISP_ASSIGN_OR_RETURN(const std::vector<PortTarget> targets, TargetsOf(record));
  if (targets.empty()) return absl::OkStatus();
  const auto notice_udp = absl::MakeCleanup([&] {
    absl::MutexLock lock(&mutex_);
    for (const PortTarget& target : targets) {
      if (target.port.protocol == Protocol::kUdp) changed_udp_ports_.push_back(target);
    }
    if (!changed_udp_ports_.empty() && monitor_ != nullptr) monitor_->Wake();
  });
  if (host_->ChangePorts(verb, targets).ok()) return absl::OkStatus();
  // Somebody flushed the rule set, or an element is not as recorded: make all of it anew.
  host_->Invalidate();
  return host_->Ensure(verb[0] == 'a' ? Wanted(record.host_veth, "")
                                      : Wanted("", record.host_veth));
}

absl::Status BridgeNetwork::EnsureHost() {
  if (host_->ready()) return absl::OkStatus();
  const absl::Status subnets = CheckSubnets();
  // Pods that are there need what serves them all the same.
  if (!subnets.ok() && InState(State::kAttached).empty()) return subnets;
  return host_->Ensure(Wanted());
}

HostSide::Wanted BridgeNetwork::Wanted(absl::string_view published,
                                       absl::string_view unpublished) const {
  HostSide::Wanted wanted;
  absl::MutexLock lock(&mutex_);
  wanted.subnets = subnets_;
  for (const auto& [veth, record] : records_) {
    for (const InterfaceAddress& a : record.addresses) {
      const IpPrefix subnet{.address = a.address.Masked(a.prefix_length),
                            .length = a.prefix_length};
      if (std::find(wanted.subnets.begin(), wanted.subnets.end(), subnet) == wanted.subnets.end()) {
        wanted.subnets.push_back(subnet);
      }
    }
    if (!record.mac.empty()) wanted.pods.push_back(IdentityOf(record));
    const bool built = record.state == State::kAttached || record.state == State::kPrepared;
    if ((!built && veth != published) || veth == unpublished) continue;
    wanted.host_veths.push_back(veth);
    const auto targets = TargetsOf(record);
    if (targets.ok()) {
      wanted.targets.insert(wanted.targets.end(), targets->begin(), targets->end());
    }
  }
  return wanted;
}

absl::Status BridgeNetwork::Undo(PodRecord record) {
  record.state = State::kDetaching;
  CRISP_RETURN_IF_ERROR(Put(record));
  CRISP_RETURN_IF_ERROR(ChangePorts("delete", record));
  CRISP_RETURN_IF_ERROR(host_->DeletePodLinks(record));
  Free(record);
  return absl::OkStatus();
}

absl::Status BridgeNetwork::Detach(absl::string_view pod_id) {
  absl::MutexLock kernel(&kernel_mutex_);
  std::optional<PodRecord> record = OfPod(pod_id);
  if (!record) return absl::OkStatus();
  return DetachLocked(*std::move(record));
}

absl::Status BridgeNetwork::DetachLocked(PodRecord record) {
  const absl::Status unpublished = ChangePorts("delete", record);
  if (!unpublished.ok()) {
    record.state = State::kDetaching;
    CRISP_RETURN_IF_ERROR(Put(record));
    return Annotate(unpublished, absl::StrCat("host ports of pod ", record.pod_name));
  }
  record.state = State::kDraining;
  ReleasePorts(record.pod_id);
  CRISP_RETURN_IF_ERROR(Put(record));
  if (!host_->LinkExists(record.host_veth)) {
    if (record.ifb.empty()) {
      Free(record);
    } else {
      monitor_->Wake();
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Attachment> BridgeNetwork::Find(absl::string_view pod_id) const {
  const std::optional<PodRecord> record = OfPod(pod_id);
  if (!record || record->state != State::kAttached) {
    return absl::NotFoundError(absl::StrCat("pod ", pod_id, " has no network"));
  }
  return ResultOf(*record);
}

absl::Status BridgeNetwork::Reconcile(const absl::flat_hash_set<std::string>& live) {
  absl::Status status;
  absl::MutexLock kernel(&kernel_mutex_);
  std::vector<std::string> pods;
  bool any = false;
  {
    absl::MutexLock lock(&mutex_);
    any = !veth_of_pod_.empty();
    // Those of this life are not of those that `live` was made from.
    for (const auto& [pod, veth] : veth_of_pod_) {
      if (recovered_.contains(veth)) pods.push_back(pod);
    }
  }
  host_->Invalidate();
  if (any) status.Update(EnsureHost());
  for (const std::string& pod : pods) {
    if (live.contains(pod)) continue;
    std::optional<PodRecord> record = OfPod(pod);
    if (record) status.Update(DetachLocked(*std::move(record)));
  }
  return status;
}

absl::Status BridgeNetwork::SetPodCidr(absl::string_view cidrs) {
  CRISP_ASSIGN_OR_RETURN(const std::vector<IpPrefix> subnets, ParsePrefixList(cidrs));
  if (!options_.subnets_from_kubelet) return absl::OkStatus();
  absl::MutexLock kernel(&kernel_mutex_);
  {
    absl::MutexLock lock(&mutex_);
    if (subnets == subnets_) return absl::OkStatus();
  }
  CRISP_RETURN_IF_ERROR(UseSubnets(subnets));
  GiveBackSome();
  CRISP_RETURN_IF_ERROR(store_->SavePodCidr(std::string(cidrs)));
  (void)CheckSubnets();
  const bool made = host_->ready();
  host_->Invalidate();
  return made ? EnsureHost() : absl::OkStatus();
}

absl::Status BridgeNetwork::Reset() {
  absl::MutexLock kernel(&kernel_mutex_);
  std::vector<PodRecord> records;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [veth, record] : records_) records.push_back(record);
  }
  for (const PodRecord& record : records) CRISP_RETURN_IF_ERROR(host_->DeletePodLinks(record));
  CRISP_RETURN_IF_ERROR(host_->RemoveAll());
  for (const PodRecord& record : records) Free(record);
  claim_.Remove();
  return store_->Clear();
}

bool BridgeNetwork::Has(absl::string_view pod_id) const { return OfPod(pod_id).has_value(); }

void BridgeNetwork::AddHostLinks(
    absl::flat_hash_map<std::string, std::string>& pods_by_link) const {
  absl::MutexLock lock(&mutex_);
  for (const auto& [veth, record] : records_) {
    if (record.state == State::kAttached) pods_by_link[veth] = record.pod_id;
  }
}

}  // namespace crisp::network
