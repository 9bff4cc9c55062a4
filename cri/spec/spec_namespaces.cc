#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cri/spec/spec_builder.h"
#include "google/protobuf/util/message_differencer.h"

namespace crisp::cri {
namespace {

absl::Status CheckUserns(const v1::UserNamespace& options) {
  switch (options.mode()) {
    case v1::POD:
      break;
    case v1::NODE:
      if (options.uids_size() == 0 && options.gids_size() == 0) return absl::OkStatus();
      return absl::InvalidArgumentError("userns_options: mode NODE takes no mappings");
    default:
      return absl::InvalidArgumentError(absl::StrCat(
          "userns_options: mode ", static_cast<int>(options.mode()), " is not supported"));
  }
  for (const auto* mappings : {&options.uids(), &options.gids()}) {
    if (mappings->size() != 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          "userns_options: exactly one uid and one gid mapping is needed, got ", mappings->size()));
    }
    if (mappings->Get(0).container_id() != 0 || mappings->Get(0).length() == 0) {
      return absl::InvalidArgumentError(
          "userns_options: the mapping must hold container id 0 and not be empty");
    }
  }
  return absl::OkStatus();
}

void AddNamespace(runtime::OciSpec& spec, const char* type, const std::string& path) {
  spec.linux_.namespaces.push_back({.type = type, .path = path});
}

}  // namespace

absl::StatusOr<std::vector<runtime::OciIdMapping>> ToIdMaps(
    const google::protobuf::RepeatedPtrField<v1::IDMapping>& mappings) {
  std::vector<runtime::OciIdMapping> maps;
  for (const v1::IDMapping& mapping : mappings) {
    if (mapping.length() == 0) return absl::InvalidArgumentError("an id mapping of length 0");
    maps.push_back({.container_id = mapping.container_id(),
                    .host_id = mapping.host_id(),
                    .size = mapping.length()});
  }
  return maps;
}

absl::Status CheckPodNamespaces(const v1::NamespaceOption& options) {
  if (options.network() != v1::POD && options.network() != v1::NODE) {
    return absl::InvalidArgumentError("namespace_options.network: must be POD or NODE");
  }
  if (options.ipc() != v1::POD && options.ipc() != v1::NODE) {
    return absl::InvalidArgumentError("namespace_options.ipc: must be POD or NODE");
  }
  if (options.has_userns_options()) {
    CRISP_RETURN_IF_ERROR(CheckUserns(options.userns_options()));
    if (options.userns_options().mode() == v1::POD &&
        (options.ipc() == v1::NODE || options.pid() == v1::NODE)) {
      return absl::InvalidArgumentError(
          "userns_options: a pod with a user namespace cannot use the host's IPC or PIDs");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckContainerNamespaces(const v1::NamespaceOption& pod,
                                      const v1::NamespaceOption& container) {
  if (container.has_userns_options()) {
    CRISP_RETURN_IF_ERROR(CheckUserns(container.userns_options()));
    const bool pod_own =
        pod.userns_options().mode() == v1::POD && pod.userns_options().uids_size() > 0;
    const bool own = container.userns_options().mode() == v1::POD;
    if (pod_own != own || (own && !google::protobuf::util::MessageDifferencer::Equals(
                                      pod.userns_options(), container.userns_options()))) {
      return absl::InvalidArgumentError("userns_options: must be those of the pod sandbox");
    }
  }
  if (container.pid() == v1::NODE && pod.pid() != v1::NODE) {
    return absl::InvalidArgumentError(
        "namespace_options.pid: NODE, but the pod sandbox does not use the host's PIDs");
  }
  if ((container.pid() == v1::TARGET) == container.target_id().empty()) {
    return absl::InvalidArgumentError("namespace_options.target_id: goes with pid TARGET");
  }
  return absl::OkStatus();
}

absl::Status ApplyNamespaces(const SpecInputs& inputs, runtime::OciSpec& spec) {
  const v1::LinuxContainerSecurityContext& context = inputs.container.linux().security_context();
  const v1::NamespaceOption& options = context.namespace_options();
  const v1::NamespaceOption& pod = inputs.pod.linux().security_context().namespace_options();
  CRISP_RETURN_IF_ERROR(CheckContainerNamespaces(pod, options));
  spec.linux_.namespaces.clear();
  AddNamespace(spec, "mount", "");
  switch (options.pid()) {
    case v1::POD:
      if (pod.pid() == v1::POD) AddNamespace(spec, "pid", inputs.namespaces.pid_path);
      // A pod that shares no PID namespace has none to join: the container gets its own.
      if (pod.pid() == v1::CONTAINER) AddNamespace(spec, "pid", "");
      break;
    case v1::CONTAINER:
      AddNamespace(spec, "pid", "");
      break;
    case v1::TARGET:
      AddNamespace(spec, "pid", absl::StrCat("/proc/", inputs.target_pid, "/ns/pid"));
      break;
    case v1::NODE:
      break;
    default:
      return absl::InvalidArgumentError("namespace_options.pid: unknown mode");
  }
  // Network and IPC are the pod's, whatever the container says: clients often leave them out there.
  if (pod.ipc() == v1::POD) AddNamespace(spec, "ipc", inputs.namespaces.ipc_path);
  if (pod.network() == v1::POD) {
    AddNamespace(spec, "network", inputs.namespaces.net_path);
    AddNamespace(spec, "uts", inputs.namespaces.uts_path);
  }
  // A privileged container is among the host's cgroups, as everywhere; not one that is root only
  // within a user namespace, to whom nothing there belongs.
  if (!context.privileged() || !inputs.namespaces.uid_maps.empty())
    AddNamespace(spec, "cgroup", "");
  if (!inputs.namespaces.uid_maps.empty()) {
    AddNamespace(spec, "user", inputs.namespaces.user_path);
    spec.linux_.uid_mappings = inputs.namespaces.uid_maps;
    spec.linux_.gid_mappings = inputs.namespaces.gid_maps;
  }
  return absl::OkStatus();
}

}  // namespace crisp::cri
