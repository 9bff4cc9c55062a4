#include "cri/spec/spec_builder.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "runtime/oci/default_spec.h"

namespace crisp::cri {
namespace {

// The annotations for which plugins and debuggers look.
std::map<std::string, std::string> Annotations(const SpecInputs& inputs) {
  std::map<std::string, std::string> all;
  for (const auto& [key, value] : inputs.container.annotations()) all[key] = value;
  const v1::PodSandboxMetadata& pod = inputs.pod.metadata();
  all["io.kubernetes.cri.container-type"] = "container";
  all["io.kubernetes.cri.sandbox-id"] = inputs.pod_id;
  all["io.kubernetes.cri.sandbox-name"] = pod.name();
  all["io.kubernetes.cri.sandbox-namespace"] = pod.namespace_();
  all["io.kubernetes.cri.sandbox-uid"] = pod.uid();
  all["io.kubernetes.cri.container-name"] = inputs.container.metadata().name();
  all["io.kubernetes.cri.image-name"] = inputs.container.image().user_specified_image().empty()
                                            ? inputs.container.image().image()
                                            : inputs.container.image().user_specified_image();
  return all;
}

absl::Status ApplyProcess(const SpecInputs& inputs, runtime::OciSpec& spec) {
  CRISP_ASSIGN_OR_RETURN(spec.process.args, BuildArgv(inputs.container, inputs.image));
  const std::string& hostname =
      inputs.pod.hostname().empty() ? inputs.host_hostname : inputs.pod.hostname();
  CRISP_ASSIGN_OR_RETURN(spec.process.env,
                         BuildEnv(inputs.container, inputs.image, hostname, inputs.user.home));
  spec.process.cwd = !inputs.container.working_dir().empty() ? inputs.container.working_dir()
                     : !inputs.image.working_dir.empty()     ? inputs.image.working_dir
                                                             : "/";
  if (!absl::StartsWith(spec.process.cwd, "/")) {
    return absl::InvalidArgumentError(
        absl::StrCat("working_dir: \"", spec.process.cwd, "\" is not an absolute path"));
  }
  spec.process.terminal = inputs.container.tty();
  spec.process.user = {
      .uid = inputs.user.uid, .gid = inputs.user.gid, .additional_gids = inputs.user.groups};
  spec.process.oom_score_adj =
      static_cast<int32_t>(inputs.container.linux().resources().oom_score_adj());
  return absl::OkStatus();
}

absl::Status ApplyDevices(const SpecInputs& inputs, runtime::OciSpec& spec) {
  const bool privileged = inputs.container.linux().security_context().privileged();
  std::vector<runtime::OciDeviceRule>& rules = spec.linux_.resources.devices;
  rules = privileged ? runtime::PrivilegedDeviceRules() : runtime::DefaultDeviceRules();
  if (privileged) spec.linux_.devices = inputs.host.devices;
  for (const ResolvedDevice& resolved : inputs.devices) {
    spec.linux_.devices.push_back(resolved.device);
    const v1::LinuxContainerSecurityContext& context = inputs.container.linux().security_context();
    if (inputs.own_devices && context.has_run_as_user())
      spec.linux_.devices.back().uid = inputs.user.uid;
    if (inputs.own_devices && context.has_run_as_group())
      spec.linux_.devices.back().gid = inputs.user.gid;
    if (privileged) continue;
    rules.push_back({.allow = true,
                     .type = resolved.device.type,
                     .major = resolved.device.major,
                     .minor = resolved.device.minor,
                     .access = resolved.permissions});
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<runtime::OciSpec> BuildSpec(const SpecInputs& inputs) {
  const v1::LinuxContainerSecurityContext& context = inputs.container.linux().security_context();
  const v1::NamespaceOption& namespaces = inputs.pod.linux().security_context().namespace_options();
  const bool userns = !inputs.namespaces.uid_maps.empty();
  if (context.privileged() && !inputs.pod.linux().security_context().privileged()) {
    return absl::InvalidArgumentError(
        "linux.security_context.privileged: the pod sandbox is not privileged");
  }
  runtime::OciSpec spec =
      runtime::DefaultSpec({.privileged = context.privileged(),
                            .cgroup_writable = inputs.cgroup_writable,
                            .host_network = namespaces.network() == v1::NODE,
                            .user_namespace = userns,
                            .host_ipc = namespaces.ipc() == v1::NODE,
                            .available_capabilities = inputs.host.capabilities});
  spec.hostname = inputs.pod.hostname();
  spec.root = {.path = inputs.root_path, .readonly = context.readonly_rootfs()};
  spec.annotations = Annotations(inputs);
  spec.linux_.cgroups_path = inputs.cgroups_path;
  CRISP_RETURN_IF_ERROR(ApplyProcess(inputs, spec));
  CRISP_RETURN_IF_ERROR(ApplyNamespaces(inputs, spec));
  CRISP_RETURN_IF_ERROR(ApplySecurity(inputs, spec));
  CRISP_RETURN_IF_ERROR(ApplyMounts(inputs, spec));
  CRISP_ASSIGN_OR_RETURN(spec.linux_.resources,
                         BuildResources(inputs.container.linux().resources(), inputs.host));
  CRISP_RETURN_IF_ERROR(ApplyDevices(inputs, spec));
  return spec;
}

}  // namespace crisp::cri
