#include "cri/pods/pod_queries.h"

#include <map>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/status.h"
#include "cri/pods/message_json.h"
#include "cri/pods/pod_status.h"
#include "cri/state/label_selector.h"
#include "cri/state/serialized_items.h"

namespace crisp::cri {
namespace {

// The pod as an OCI spec would have it, which is where clients look for its namespaces. A stopped
// one has none any more.
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
          {"annotations", std::map<std::string, std::string>(config.annotations().begin(),
                                                             config.annotations().end())},
          {"linux",
           {{"cgroupsPath", record.cgroup_path()},
            {"sysctl", std::map<std::string, std::string>(config.linux().sysctls().begin(),
                                                          config.linux().sysctls().end())},
            {"namespaces", std::move(namespaces)}}}};
}

std::string VerboseInfo(const Pod& pod, const state::PodRecord& record) {
  const v1::NamespaceOption& options =
      record.config().linux().security_context().namespace_options();
  const pid_t pid = pod.Handle() == nullptr ? 0 : record.shim_pid();
  Json info = {{"pid", pid},
               {"processStatus", pid == 0 ? "deleted" : "running"},
               {"netNamespaceClosed", pid == 0},
               {"runtimeHandler", record.runtime_handler()},
               {"runtimeType", pod.runtime->type()},
               {"cgroupPath", record.cgroup_path()},
               {"hostNetwork", options.network() == v1::NODE},
               {"config", MessageToJson(record.config())},
               {"runtimeSpec", SandboxSpec(record, pid)}};
  if (const auto handle = pod.Handle(); handle != nullptr) handle->Describe(info);
  if (pid != 0 && options.network() != v1::NODE) {
    info["networkNamespace"] = absl::StrCat("/proc/", pid, "/ns/net");
  }
  const auto amounts = [](const v1::LinuxContainerResources& r) {
    return Json{{"cpuPeriod", r.cpu_period()},
                {"cpuQuota", r.cpu_quota()},
                {"cpuShares", r.cpu_shares()},
                {"memoryLimitInBytes", r.memory_limit_in_bytes()}};
  };
  if (record.config().linux().has_overhead())
    info["overhead"] = amounts(record.config().linux().overhead());
  if (record.config().linux().has_resources())
    info["resources"] = amounts(record.config().linux().resources());
  return DumpJson(info);
}

}  // namespace

absl::Status PodQueries::PodSandboxStatus(const v1::PodSandboxStatusRequest& request,
                                          v1::PodSandboxStatusResponse* reply) const {
  CRISP_ASSIGN_OR_RETURN(const PodPtr pod, table_.FindPod(request.pod_sandbox_id()));
  FillStatus(*pod, reply->mutable_status());
  // Without their timestamp: given one, a kubelet with EventedPLEG takes these statuses for the
  // pod's and (as of 1.37) does not see which of them are of this sandbox, so that it runs init
  // containers again.
  FillStatuses(table_.ContainersOf(*pod), *node_.images, reply->mutable_containers_statuses());
  if (request.verbose()) (*reply->mutable_info())["info"] = VerboseInfo(*pod, *pod->Snapshot());
  return absl::OkStatus();
}

absl::Status PodQueries::ListPodSandbox(View view,
                                        const v1::ListPodSandboxRequest& request,
                                        v1::ListPodSandboxResponse* reply) const {
  const v1::PodSandboxFilter& filter = request.filter();
  for (const PodPtr& pod : table_.Pods()) {
    if (!pod->ShownIn(view) || !absl::StartsWith(pod->id, filter.id())) continue;
    const auto held = pod->Snapshot();
    const state::PodRecord& record = *held;
    if (filter.has_state() && filter.state().state() != CriState(record)) continue;
    if (!MatchesLabels(filter.label_selector(), record.config().labels())) continue;
    AddSerializedItem(v1::ListPodSandboxResponse::kItemsFieldNumber, *Listed(*pod, held), *reply);
  }
  return absl::OkStatus();
}

}  // namespace crisp::cri
