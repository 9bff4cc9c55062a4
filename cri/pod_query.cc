#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/json.h"
#include "base/status.h"
#include "cri/label_selector.h"
#include "cri/message_json.h"
#include "cri/pod_manager.h"

namespace crisp::cri {
namespace {

v1::PodSandboxState CriState(const state::PodRecord& record) {
  return record.stage() == state::PodRecord::READY ? v1::SANDBOX_READY : v1::SANDBOX_NOTREADY;
}

std::string ListItem(const state::PodRecord& record) {
  v1::PodSandbox item;
  item.set_id(record.id());
  *item.mutable_metadata() = record.config().metadata();
  item.set_state(CriState(record));
  item.set_created_at(record.created_at());
  *item.mutable_labels() = record.config().labels();
  *item.mutable_annotations() = record.config().annotations();
  item.set_runtime_handler(record.runtime_handler());
  return item.SerializeAsString();
}

std::shared_ptr<const std::string> Listed(const Pod& pod, const std::shared_ptr<const state::PodRecord>& record) {
  absl::MutexLock lock(&pod.mutex);
  if (pod.listed.of != record) {
    pod.listed = {record, std::make_shared<const std::string>(ListItem(*record))};
  }
  return pod.listed.bytes;
}

// The pod as an OCI spec would have it, which is where clients look for its namespaces. A stopped one has
// none any more.
Json SandboxSpec(const state::PodRecord& record, pid_t pid) {
  const v1::PodSandboxConfig& config = record.config();
  const v1::NamespaceOption& options = config.linux().security_context().namespace_options();
  Json namespaces = Json::array();
  const auto add = [&](const char* type, const char* file, bool own) {
    if (!own) return;
    Json& added = namespaces.emplace_back(Json{{"type", type}});
    if (pid != 0 && *file != '\0') added["path"] = absl::StrCat("/proc/", pid, "/ns/", file);
  };
  add("pid", "", options.pid() != v1::NODE);
  add("ipc", "ipc", options.ipc() != v1::NODE);
  add("uts", "uts", options.network() != v1::NODE);
  add("mount", "", true);
  add("network", "net", options.network() != v1::NODE);
  add("user", "user", !options.userns_options().uids().empty());
  return {{"ociVersion", runtime::OciSpec().oci_version},
          {"hostname", config.hostname()},
          {"annotations", std::map<std::string, std::string>(config.annotations().begin(), config.annotations().end())},
          {"linux",
           {{"cgroupsPath", record.cgroup_path()},
            {"sysctl", std::map<std::string, std::string>(config.linux().sysctls().begin(), config.linux().sysctls().end())},
            {"namespaces", std::move(namespaces)}}}};
}

std::string VerboseInfo(const Pod& pod, const state::PodRecord& record) {
  const v1::NamespaceOption& options = record.config().linux().security_context().namespace_options();
  const pid_t pid = pod.GetShim() == nullptr ? 0 : record.shim_pid();
  Json info = {{"pid", pid},
               {"processStatus", pid == 0 ? "deleted" : "running"},
               {"netNamespaceClosed", pid == 0},
               {"runtimeHandler", record.runtime_handler()},
               {"cgroupPath", record.cgroup_path()},
               {"hostNetwork", options.network() == v1::NODE},
               {"config", MessageToJson(record.config())},
               {"runtimeSpec", SandboxSpec(record, pid)}};
  if (pid != 0 && options.network() != v1::NODE) {
    info["networkNamespace"] = absl::StrCat("/proc/", pid, "/ns/net");
  }
  const auto amounts = [](const v1::LinuxContainerResources& r) {
    return Json{{"cpuPeriod", r.cpu_period()}, {"cpuQuota", r.cpu_quota()}, {"cpuShares", r.cpu_shares()},
                {"memoryLimitInBytes", r.memory_limit_in_bytes()}};
  };
  if (record.config().linux().has_overhead()) info["overhead"] = amounts(record.config().linux().overhead());
  if (record.config().linux().has_resources()) info["resources"] = amounts(record.config().linux().resources());
  return DumpJson(info);
}

}  // namespace

void PodManager::FillStatus(const Pod& pod, v1::PodSandboxStatus* status) const {
  const auto held = pod.Snapshot();
  const state::PodRecord& record = *held;
  const v1::PodSandboxConfig& config = record.config();
  status->set_id(record.id());
  *status->mutable_metadata() = config.metadata();
  status->set_state(CriState(record));
  status->set_created_at(record.created_at());
  v1::PodSandboxNetworkStatus* network = status->mutable_network();
  // A stopped pod's are another pod's by now.
  const int addresses = record.stopped() ? 0 : record.addresses_size();
  for (int i = 0; i < addresses; ++i) {
    if (i == 0) network->set_ip(record.addresses(0));
    else network->add_additional_ips()->set_ip(record.addresses(i));
  }
  *status->mutable_linux()->mutable_namespaces()->mutable_options() =
      config.linux().security_context().namespace_options();
  *status->mutable_labels() = config.labels();
  *status->mutable_annotations() = config.annotations();
  status->set_runtime_handler(record.runtime_handler());
}

void PodManager::FillStatuses(const Pod& pod,
                              google::protobuf::RepeatedPtrField<v1::ContainerStatus>* statuses) const {
  for (const ContainerPtr& container : ContainersOf(pod)) FillStatus(*container, statuses->Add());
  std::sort(statuses->begin(), statuses->end(), [](const v1::ContainerStatus& a, const v1::ContainerStatus& b) {
    return a.created_at() > b.created_at();
  });
}

absl::Status PodManager::PodSandboxStatus(const v1::PodSandboxStatusRequest& request,
                                          v1::PodSandboxStatusResponse* reply,
                                          const Cancel&) {
  CRISP_ASSIGN_OR_RETURN(const PodPtr pod, pods_.Find(request.pod_sandbox_id()));
  FillStatus(*pod, reply->mutable_status());
  // Without their timestamp: given one, a kubelet with EventedPLEG takes these statuses for the pod's and
  // (as of 1.37) does not see which of them are of this sandbox, so that it runs init containers again.
  FillStatuses(*pod, reply->mutable_containers_statuses());
  if (request.verbose()) (*reply->mutable_info())["info"] = VerboseInfo(*pod, *pod->Snapshot());
  return absl::OkStatus();
}

absl::Status PodManager::ListPodSandbox(const v1::ListPodSandboxRequest& request,
                                        v1::ListPodSandboxResponse* reply,
                                        const Cancel&) {
  const v1::PodSandboxFilter& filter = request.filter();
  for (const PodPtr& pod : pods_.All()) {
    if (!absl::StartsWith(pod->id, filter.id())) continue;
    const auto held = pod->Snapshot();
    const state::PodRecord& record = *held;
    if (filter.has_state() && filter.state().state() != CriState(record)) continue;
    if (!MatchesLabels(filter.label_selector(), record.config().labels())) continue;
    AddReadyItem(v1::ListPodSandboxResponse::kItemsFieldNumber, *Listed(*pod, held), *reply);
  }
  return absl::OkStatus();
}

absl::Status PodManager::UpdatePodSandboxResources(const v1::UpdatePodSandboxResourcesRequest& request,
                                                   v1::UpdatePodSandboxResourcesResponse*,
                                                   const Cancel&) {
  CRISP_ASSIGN_OR_RETURN(const PodPtr pod, pods_.Find(request.pod_sandbox_id()));
  // The kubelet has changed the group that it made; others who ask have only us for it. A pod that
  // is stopped may have no group any more.
  if (request.has_resources() && pod->Ready()) {
    CRISP_ASSIGN_OR_RETURN(const runtime::OciResources change, BuildResources(request.resources(), host_));
    CRISP_RETURN_IF_ERROR(CgroupAt(pod->Snapshot()->cgroup_path()).Update(change));
  }
  return Change(*pod, [&request](state::PodRecord& record) {
    v1::LinuxPodSandboxConfig* linux_config = record.mutable_config()->mutable_linux();
    if (request.has_overhead()) *linux_config->mutable_overhead() = request.overhead();
    if (request.has_resources()) *linux_config->mutable_resources() = request.resources();
  });
}

}  // namespace crisp::cri
