// The record-keeping half of BridgeNetwork: whose an address is, and when it is free again.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "network/bridge/bridge_network.h"
#include "network/bridge/conntrack.h"
#include "network/link/netlink.h"

namespace crisp::network {
namespace {

constexpr absl::Duration kCheckPeriod = absl::Seconds(15);

}  // namespace

absl::Status BridgeNetwork::Put(const PodRecord& record) {
  CRISP_RETURN_IF_ERROR(store_->Save(record));
  absl::MutexLock lock(&mutex_);
  records_[record.host_veth] = record;
  if (record.state == State::kDraining) {
    const auto it = veth_of_pod_.find(record.pod_id);
    if (it != veth_of_pod_.end() && it->second == record.host_veth) veth_of_pod_.erase(it);
  } else {
    veth_of_pod_[record.pod_id] = record.host_veth;
  }
  return absl::OkStatus();
}

void BridgeNetwork::Free(const PodRecord& record) {
  if (record.state != State::kDraining) ReleasePorts(record.pod_id);
  for (const InterfaceAddress& a : record.addresses) {
    for (AddressPool& pool : pools_) pool.Release(a.address);
  }
  host_->Unguard(record);
  // A row that stays is found again as a draining pod without a link at the next start.
  if (const absl::Status s = store_->Delete(record.host_veth); !s.ok()) {
    LogWarning("network_record_not_deleted", {{"pod", record.pod_name}, {"error", s.message()}});
  }
  recovered_.erase(record.host_veth);
  absl::MutexLock lock(&mutex_);
  records_.erase(record.host_veth);
  const auto it = veth_of_pod_.find(record.pod_id);
  if (it != veth_of_pod_.end() && it->second == record.host_veth) veth_of_pod_.erase(it);
}

absl::Status BridgeNetwork::TakePorts(const PodRecord& record) {
  CRISP_ASSIGN_OR_RETURN(const std::vector<PortTarget> targets, TargetsOf(record));
  for (const HostPort& port : record.ports) {
    const std::vector<uint16_t>& own = options_.own_ports;
    if (port.protocol != Protocol::kTcp ||
        std::find(own.begin(), own.end(), port.host_port) == own.end()) {
      continue;
    }
    return absl::AlreadyExistsError(
        absl::StrCat("host port ", port.ToString(), " is one of crispd itself"));
  }
  CRISP_RETURN_IF_ERROR(port_owners_.Claim(record.pod_id, record.pod_name, record.ports));
  absl::Status held = port_holds_.Hold(record.pod_id, targets);
  if (!held.ok()) port_owners_.Release(record.pod_id);
  return held;
}

void BridgeNetwork::ReleasePorts(const std::string& pod_id) {
  port_owners_.Release(pod_id);
  port_holds_.Release(pod_id);
}

std::vector<UniqueFd> BridgeNetwork::TakePortHolds(absl::string_view pod_id) {
  absl::MutexLock kernel(&kernel_mutex_);
  return port_holds_.Take(std::string(pod_id));
}

std::optional<PodRecord> BridgeNetwork::OfPod(absl::string_view pod_id) const {
  absl::MutexLock lock(&mutex_);
  const auto it = veth_of_pod_.find(std::string(pod_id));
  if (it == veth_of_pod_.end()) return std::nullopt;
  return records_.at(it->second);
}

std::vector<PodRecord> BridgeNetwork::InState(State state) const {
  std::vector<PodRecord> records;
  absl::MutexLock lock(&mutex_);
  for (const auto& [veth, record] : records_) {
    if (record.state == state) records.push_back(record);
  }
  return records;
}

void BridgeNetwork::FreeGone() {
  for (const PodRecord& record : InState(State::kDraining)) {
    if (record.ifb.empty() && !host_->LinkExists(record.host_veth)) Free(record);
  }
}

void BridgeNetwork::OnLinkGone(const std::string& name) {
  if (name == options_.bridge_name) {
    absl::MutexLock kernel(&kernel_mutex_);
    host_->Invalidate();
    return;
  }
  PodRecord record;
  {
    absl::MutexLock lock(&mutex_);
    const auto it = records_.find(name);
    if (it == records_.end() || !it->second.EndsWithItsLink()) return;
    record = it->second;
  }
  Release(record);
}

void BridgeNetwork::Release(const PodRecord& record) {
  if (!record.ifb.empty()) {
    // Waits for the kernel, hence a socket of its own and no mutex.
    const absl::StatusOr<UniqueFd> fd = OpenRtnl();
    const absl::Status deleted = fd.ok() ? DeleteLink(fd->get(), record.ifb) : fd.status();
    if (!deleted.ok()) {
      LogWarning("ifb_not_deleted", {{"link", record.ifb}, {"error", deleted.message()}});
      return;  // the record stays, the next sweep tries again
    }
  }
  absl::MutexLock kernel(&kernel_mutex_);
  {
    absl::MutexLock lock(&mutex_);
    const auto it = records_.find(record.host_veth);
    // A prepared one may have become a pod's.
    if (it == records_.end() || !it->second.EndsWithItsLink()) return;
  }
  Free(record);
}

void BridgeNetwork::ForgetStaleFlows() {
  std::vector<PortTarget> changed, current;
  {
    // A change of the pod's ports that is under way is done first: the pod then has them, or has
    // them no more.
    absl::MutexLock kernel(&kernel_mutex_);
    {
      absl::MutexLock lock(&mutex_);
      changed.swap(changed_udp_ports_);
    }
    if (changed.empty()) return;
    current = Wanted().targets;
  }
  if (const absl::Status s = ForgetUdpFlows(changed, current); !s.ok()) {
    LogWarning("stale_udp_flows_stay", {{"error", s.message()}});
  }
}

// A network that comes to the node later, as another runtime's does, may be the pods' as well; one
// that goes gives it back.
void BridgeNetwork::CheckNow() {
  absl::MutexLock kernel(&kernel_mutex_);
  const absl::Time begin = absl::Now();
  if (begin < next_check_) return;
  (void)CheckSubnets();
  if (host_->ready() && !host_->HasTables()) {
    LogWarning("network.tables_gone",
               {{"table", options_.bridge_name}, {"effect", "they are made anew"}});
    host_->Invalidate();
    if (const absl::Status s = EnsureHost(); !s.ok())
      LogWarning("network.not_mended", {{"error", s.message()}});
  }
  // Tables may be the whole Internet's.
  next_check_ = absl::Now() + std::max(kCheckPeriod, 1000 * (absl::Now() - begin));
}

void BridgeNetwork::Sweep() {
  ForgetStaleFlows();
  CheckNow();
  for (const PodRecord& record : InState(State::kDetaching)) {
    absl::MutexLock kernel(&kernel_mutex_);
    const std::optional<PodRecord> now = OfPod(record.pod_id);
    if (!now || now->state != State::kDetaching) continue;
    if (const absl::Status s = Undo(*now); !s.ok()) {
      LogWarning("network_detach_retry_failed", {{"pod", record.pod_name}, {"error", s.message()}});
    }
  }
  std::vector<PodRecord> ending = InState(State::kDraining);
  for (PodRecord& record : InState(State::kPrepared)) ending.push_back(std::move(record));
  if (ending.empty()) return;
  const absl::StatusOr<UniqueFd> fd = OpenRtnl();
  if (!fd.ok()) return;
  const absl::StatusOr<std::vector<Link>> links = ListLinks(fd->get(), "veth");
  if (!links.ok()) return;  // an error is no proof that they are gone
  absl::flat_hash_set<std::string> present;
  for (const Link& link : *links) present.insert(link.name);
  for (const PodRecord& record : ending) {
    if (!present.contains(record.host_veth)) Release(record);
  }
}

}  // namespace crisp::network
