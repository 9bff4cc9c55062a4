#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cri/spec/spec_builder.h"
#include "runtime/lsm/selinux_context.h"

namespace crisp::cri {
namespace {

const std::string& Either(const std::string& first, const std::string& second) {
  return first.empty() ? second : first;
}

runtime::SelinuxContext OptionsOf(const v1::PodSandboxConfig& pod,
                                  const v1::LinuxContainerSecurityContext& container) {
  const v1::SELinuxOption& theirs = pod.linux().security_context().selinux_options();
  const v1::SELinuxOption& own = container.selinux_options();
  return {.user = Either(own.user(), theirs.user()),
          .role = Either(own.role(), theirs.role()),
          .type = Either(own.type(), theirs.type()),
          .level = Either(own.level(), theirs.level())};
}

bool AsksForSomething(const runtime::SelinuxContext& options) {
  return options != runtime::SelinuxContext();
}

// A kernel or policy that cannot label: whether what is asked for can be had all the same.
absl::StatusOr<runtime::SelinuxLabels> WithoutLabels(const runtime::SelinuxContext& options,
                                                     bool unconfined,
                                                     absl::string_view why) {
  if (!AsksForSomething(options) || unconfined || runtime::IsUnconfinedSelinuxType(options.type)) {
    return runtime::SelinuxLabels();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("selinux_options: ",
                   options.type.empty() ? "labels are" : absl::StrCat("type ", options.type, " is"),
                   " asked for, but ", why));
}

}  // namespace

std::string SelinuxLevelOf(const v1::PodSandboxConfig& pod) {
  return pod.linux().security_context().selinux_options().level();
}

absl::StatusOr<runtime::SelinuxLabels> SelectSelinux(
    const v1::PodSandboxConfig& pod,
    const v1::LinuxContainerSecurityContext& container,
    const runtime::SelinuxHost& host,
    const std::string& pod_level) {
  const runtime::SelinuxContext options = OptionsOf(pod, container);
  if (host.off) return runtime::SelinuxLabels();
  // Manifests are written for nodes with and without; there is no policy that a label could loosen.
  if (!host.enabled && !host.required) return runtime::SelinuxLabels();
  if (!host.enabled) {
    return WithoutLabels(options, container.privileged(),
                         "this kernel has no SELinux (runtime.selinux: auto overlooks them)");
  }
  if (!host.unusable.empty()) return WithoutLabels(options, container.privileged(), host.unusable);
  if (!options.level.empty() && !host.levels) {
    return absl::FailedPreconditionError(absl::StrCat(
        "selinux_options.level: ", options.level, " is asked for, but the policy has no levels"));
  }
  const v1::NamespaceOption& namespaces = pod.linux().security_context().namespace_options();
  const bool among_hosts = namespaces.pid() == v1::NODE ||
                           container.namespace_options().pid() == v1::NODE ||
                           namespaces.ipc() == v1::NODE;
  // A pod of before the node had SELinux holds none.
  const std::string& level = pod_level.empty() ? host.defaults.file.level : pod_level;
  return runtime::MakeSelinuxLabels(
      host.defaults, {.options = options, .unconfined = container.privileged() || among_hosts},
      level);
}

}  // namespace crisp::cri
