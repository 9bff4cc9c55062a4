// Which networks the built-in one gives its pods, and whether somebody else on the host has them.

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/status.h"
#include "network/bridge/bridge_network.h"

namespace crisp::network {
namespace {

std::string Join(const std::vector<IpPrefix>& subnets) {
  return absl::StrJoin(subnets, ",", [](std::string* out, const IpPrefix& subnet) {
    absl::StrAppend(out, subnet.ToString());
  });
}

}  // namespace

absl::StatusOr<std::vector<IpPrefix>> BridgeNetwork::Subnets() {
  CRISP_ASSIGN_OR_RETURN(const std::string cidrs, store_->PodCidr());
  if (options_.subnets_from_kubelet && !cidrs.empty()) return ParsePrefixList(cidrs);
  if (!options_.subnets.empty()) return ParsePrefixes(options_.subnets);
  CRISP_ASSIGN_OR_RETURN(const std::string chosen, store_->ChosenSubnets());
  if (!chosen.empty()) return ParsePrefixList(chosen);
  return ChooseSubnets();
}

absl::StatusOr<std::vector<IpPrefix>> BridgeNetwork::ChooseSubnets() {
  CRISP_ASSIGN_OR_RETURN(std::vector<IpPrefix> subnets, host_->FreeSubnets());
  CRISP_RETURN_IF_ERROR(store_->SaveChosenSubnets(Join(subnets)));
  LogInfo("network.subnets_chosen", {{"subnets", Join(subnets)}});
  return subnets;
}

absl::Status BridgeNetwork::CheckSubnets() {
  std::vector<IpPrefix> subnets;
  bool chosen = options_.subnets.empty();
  {
    absl::MutexLock lock(&mutex_);
    subnets = subnets_;
    chosen = chosen && records_.empty();
  }
  absl::Status status = host_->CheckSubnets(subnets);
  if (absl::IsFailedPrecondition(status) && chosen) {
    // Nobody has an address of them yet.
    const absl::StatusOr<std::string> cidrs = store_->PodCidr();
    if (cidrs.ok() && (cidrs->empty() || !options_.subnets_from_kubelet)) {
      CRISP_ASSIGN_OR_RETURN(const std::vector<IpPrefix> others, ChooseSubnets());
      CRISP_RETURN_IF_ERROR(UseSubnets(others));
      host_->Invalidate();  // the bridge has the former ones' gateways
      status = host_->CheckSubnets(others);
    }
  }
  SetProblem(status);
  return absl::IsFailedPrecondition(status) ? absl::UnavailableError(status.message()) : status;
}

absl::Status BridgeNetwork::CheckRoutes(const PodRecord& record) {
  for (const InterfaceAddress& address : record.addresses) {
    const absl::Status status = host_->CheckRoute(address);
    if (status.ok()) continue;
    SetProblem(status);
    return absl::UnavailableError(status.message());
  }
  return absl::OkStatus();
}

void BridgeNetwork::SetProblem(const absl::Status& status) {
  absl::MutexLock lock(&mutex_);
  problem_ = std::string(status.message());
}

NetworkCondition BridgeNetwork::Condition() const {
  absl::MutexLock lock(&mutex_);
  // While plugins serve, the built-in network's state is not asked for and not logged.
  if (problem_ != told_ && problem_.empty()) LogInfo("network.ready", {});
  if (problem_ != told_ && !problem_.empty()) LogWarning("network.not_ready", {{"why", problem_}});
  told_ = problem_;
  if (problem_.empty()) return {.ready = true};
  return {.reason = "NetworkPluginNotReady", .message = problem_};
}

}  // namespace crisp::network
