// The half of BridgeNetwork that works ahead of pods.

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "network/bridge/bridge_network.h"

namespace crisp::network {
namespace {

// As long as a pool has fewer addresses, they wait for pods.
constexpr uint64_t kFewAddresses = 16;

}  // namespace

absl::Status BridgeNetwork::Prepare(const std::string& key, int netns_fd, int rtnl_fd) {
  CRISP_RETURN_IF_ERROR(PrepareOnce(key, netns_fd, rtnl_fd));
  AwaitLink(key);
  return absl::OkStatus();
}

absl::Status BridgeNetwork::PrepareOnce(const std::string& key, int netns_fd, int rtnl_fd) {
  absl::MutexLock kernel(&kernel_mutex_);
  // A node without pods has no bridge, and the kubelet may not have told the pod CIDR yet.
  if (!host_->ready()) {
    return absl::FailedPreconditionError("prepare a network: no pod has been attached yet");
  }
  for (const AddressPool& pool : pools_) {
    if (pool.free_count() >= kFewAddresses) continue;
    return absl::FailedPreconditionError(absl::StrCat("prepare a network: only ", pool.free_count(),
                                                      " addresses of ", pool.subnet().ToString(),
                                                      " are free"));
  }
  const AttachRequest request{.pod_id = key, .pod_name = key, .pod_namespace = "spare"};
  CRISP_ASSIGN_OR_RETURN(const PodRecord record, Plan(request, {}, /*limit_egress=*/false));
  absl::Status built =
      Build(record, {.netns_fd = netns_fd, .rtnl_fd = rtnl_fd, .bandwidth = Bandwidth()});
  return Settle(record, State::kPrepared, std::move(built));
}

absl::StatusOr<Attachment> BridgeNetwork::Adopt(PodRecord record,
                                                const AttachRequest& request,
                                                std::vector<HostPort> ports) {
  CRISP_RETURN_IF_ERROR(CheckRoutes(record));
  const std::string key = std::exchange(record.pod_id, request.pod_id);
  record.pod_name = absl::StrCat(request.pod_namespace, "/", request.pod_name);
  record.ports = std::move(ports);
  CRISP_RETURN_IF_ERROR(TakePorts(record));
  record.state = record.ports.empty() ? State::kAttached : State::kAttaching;
  absl::Status status = Put(record);
  if (!status.ok()) {
    ReleasePorts(record.pod_id);
    return Annotate(status, absl::StrCat("network of pod ", record.pod_name));
  }
  {
    absl::MutexLock lock(&mutex_);
    veth_of_pod_.erase(key);
  }
  if (record.ports.empty()) return ResultOf(record);
  status = host_->EnableHairpin(record);
  if (status.ok()) status = ChangePorts("add", record);
  CRISP_RETURN_IF_ERROR(Settle(record, State::kAttached, std::move(status)));
  return ResultOf(record);
}

absl::Status BridgeNetwork::GiveBack(const std::string& key) {
  absl::MutexLock kernel(&kernel_mutex_);
  return GiveBackLocked(key);
}

absl::Status BridgeNetwork::GiveBackLocked(const std::string& key) {
  const std::optional<PodRecord> record = OfPod(key);
  return record ? Annotate(Undo(*record), "a prepared network cannot be undone") : absl::OkStatus();
}

void BridgeNetwork::GiveBackSome(size_t count) {
  for (const PodRecord& record : InState(State::kPrepared)) {
    if (count-- == 0) return;
    if (const absl::Status s = Undo(record); !s.ok()) {
      LogWarning("network_undo_failed", {{"pod", record.pod_name}, {"error", s.message()}});
    }
  }
}

}  // namespace crisp::network
