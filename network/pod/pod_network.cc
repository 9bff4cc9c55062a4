#include "network/pod/pod_network.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/log.h"
#include "base/status.h"
#include "network/bridge/bridge_network.h"
#include "network/cni/cni_network.h"
#include "network/link/links.h"
#include "network/link/pod_sysctls.h"

namespace crisp::network {
namespace {

// A pod belongs to the network that made it, whatever the configuration directory says later.
class BridgeOrCniNetwork final : public PodNetwork {
 public:
  using Builtin = NetworkOptions::Builtin;
  BridgeOrCniNetwork(Builtin builtin,
                     std::unique_ptr<BridgeNetwork> bridge,
                     std::unique_ptr<CniNetwork> cni,
                     UniqueFd rtnl)
      : builtin_(builtin),
        bridge_(std::move(bridge)),
        cni_(std::move(cni)),
        rtnl_(std::move(rtnl)) {}

  absl::StatusOr<Attachment> Attach(const AttachRequest& request,
                                    const Operation& operation) override {
    CRISP_ASSIGN_OR_RETURN(Attachment attachment, AttachInterface(request, operation));
    CRISP_RETURN_IF_ERROR(SetSysctls(request.netns_fd, request.sysctls));
    return attachment;
  }
  absl::StatusOr<Attachment> AttachInterface(const AttachRequest& request,
                                             const Operation& operation) {
    if (bridge_->Has(request.pod_id)) return bridge_->Attach(request, operation);
    const auto config = Config();
    if (config.ok()) {
      CRISP_RETURN_IF_ERROR(bridge_->GiveBack(request.prepared));
      return cni_->Attach(request, **config, operation);
    }
    if (const auto attached = cni_->Find(request.pod_id); attached.ok()) return attached;
    if (!BuiltinServes(config.status())) return absl::UnavailableError(config.status().message());
    // The remains of a CNI attempt must be gone before the pod gets another network.
    CRISP_RETURN_IF_ERROR(cni_->Detach(request.pod_id, request.netns_fd, operation));
    return bridge_->Attach(request, operation);
  }
  absl::Status Isolate(int netns_fd, int rtnl_fd, const Sysctls& sysctls) override {
    CRISP_RETURN_IF_ERROR(BringLoopbackUp(rtnl_fd));
    return SetSysctls(netns_fd, sysctls);
  }
  absl::Status Prepare(const std::string& key, int netns_fd, int rtnl_fd) override {
    if (!BuiltinServes(Config().status())) {
      return absl::FailedPreconditionError("prepare a network: CNI plugins serve");
    }
    return bridge_->Prepare(key, netns_fd, rtnl_fd);
  }
  absl::Status Detach(absl::string_view pod_id, int netns_fd, const Operation& operation) override {
    const absl::Status status = bridge_->Detach(pod_id);
    const absl::Status other = cni_->Detach(pod_id, netns_fd, operation);
    return status.ok() ? other : status;
  }
  std::vector<UniqueFd> TakePortHolds(absl::string_view pod_id) override {
    return bridge_->TakePortHolds(pod_id);
  }
  absl::StatusOr<Attachment> Find(absl::string_view pod_id) const override {
    absl::StatusOr<Attachment> found = bridge_->Find(pod_id);
    return found.ok() ? found : cni_->Find(pod_id);
  }
  absl::Status Reconcile(const absl::flat_hash_set<std::string>& live) override {
    cni_->Reconcile(live);
    (void)Condition();  // for the log: who serves, and whether that will do
    return bridge_->Reconcile(live);
  }
  NetworkCondition Condition() const override {
    const absl::Status config = Config().status();
    if (BuiltinServes(config)) return bridge_->Condition();
    return cni_->Condition();
  }
  void BeginRemoval() override { cni_->BeginRemoval(); }
  std::vector<std::string> LeftBehind() const override { return cni_->LeftBehind(); }
  absl::Status SetPodCidr(absl::string_view cidrs) override { return bridge_->SetPodCidr(cidrs); }
  absl::StatusOr<std::map<std::string, std::vector<InterfaceCounters>>> Counters() const override;
  absl::Status Reset() override {
    const absl::Status status = cni_->Reset();
    CRISP_RETURN_IF_ERROR(bridge_->Reset());
    return status;
  }

 private:
  // The CNI configuration, if plugins may serve. The log tells when another network begins to
  // serve.
  absl::StatusOr<std::shared_ptr<const CniConfig>> Config() const {
    if (builtin_ == Builtin::kAlways) return absl::NotFoundError("network.builtin is always");
    absl::StatusOr<std::shared_ptr<const CniConfig>> config = cni_->Config();
    Tell(config.ok()                      ? absl::StrCat("cni ", (*config)->name)
         : BuiltinServes(config.status()) ? std::string("builtin")
         : absl::IsNotFound(config.status())
             ? std::string("nobody: there is no CNI configuration yet")
             : std::string("nobody: the CNI configuration is bad"));
    return config;
  }
  bool BuiltinServes(const absl::Status& config) const {
    return builtin_ != Builtin::kNever && absl::IsNotFound(config);
  }
  void Tell(const std::string& server) const {
    absl::MutexLock lock(&server_mutex_);
    if (server == server_) return;
    server_ = server;
    LogInfo("network.served", {{"by", server}});
  }

  const Builtin builtin_;
  mutable absl::Mutex server_mutex_;
  mutable std::string server_ ABSL_GUARDED_BY(server_mutex_);
  const std::unique_ptr<BridgeNetwork> bridge_;
  const std::unique_ptr<CniNetwork> cni_;
  mutable absl::Mutex counters_mutex_;  // of its own: statistics never wait for an Attach()
  const UniqueFd rtnl_ ABSL_GUARDED_BY(counters_mutex_);
};

absl::StatusOr<std::map<std::string, std::vector<InterfaceCounters>>> BridgeOrCniNetwork::Counters()
    const {
  absl::flat_hash_map<std::string, std::string> pods_by_link;
  bridge_->AddHostLinks(pods_by_link);
  cni_->AddHostLinks(pods_by_link);
  std::map<std::string, std::vector<InterfaceCounters>> counters;
  if (pods_by_link.empty()) return counters;
  absl::MutexLock lock(&counters_mutex_);
  CRISP_ASSIGN_OR_RETURN(const std::vector<Link> links, ListLinks(rtnl_.get(), "veth"));
  for (const Link& link : links) {
    const auto pod = pods_by_link.find(link.name);
    if (pod == pods_by_link.end()) continue;
    const InterfaceCounters& host = link.counters;
    counters[pod->second].push_back({.name = Attachment().interface,
                                     .rx_bytes = host.tx_bytes,
                                     .rx_packets = host.tx_packets,
                                     .rx_errors = host.tx_errors,
                                     .rx_dropped = host.tx_dropped,
                                     .tx_bytes = host.rx_bytes,
                                     .tx_packets = host.rx_packets,
                                     .tx_errors = host.rx_errors,
                                     .tx_dropped = host.rx_dropped});
  }
  return counters;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PodNetwork>> PodNetwork::Create(NetworkOptions options) {
  CRISP_ASSIGN_OR_RETURN(std::unique_ptr<BridgeNetwork> bridge, BridgeNetwork::Create(options));
  CRISP_ASSIGN_OR_RETURN(std::unique_ptr<CniNetwork> cni, CniNetwork::Create(options));
  CRISP_ASSIGN_OR_RETURN(UniqueFd rtnl, OpenRtnl());
  return std::make_unique<BridgeOrCniNetwork>(options.serves, std::move(bridge), std::move(cni),
                                              std::move(rtnl));
}

}  // namespace crisp::network
