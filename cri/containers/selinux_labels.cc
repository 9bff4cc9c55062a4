#include "cri/containers/selinux_labels.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "cri/spec/spec_builder.h"
#include "runtime/lsm/selinux.h"

namespace crisp::cri {
namespace {

absl::Status CheckLabels(const runtime::SelinuxLabels& labels) {
  for (const std::string& label : {labels.process, labels.mount}) {
    if (!label.empty()) CRISP_RETURN_IF_ERROR(runtime::CheckSelinuxContext(label));
  }
  return absl::OkStatus();
}

// A pod's own: of a container that asks for nothing.
v1::LinuxContainerSecurityContext PlainContainer(const v1::PodSandboxConfig& pod) {
  v1::LinuxContainerSecurityContext container;
  container.set_privileged(pod.linux().security_context().privileged());
  return container;
}

}  // namespace

absl::StatusOr<LevelLease> SelinuxLabels::AssignTo(state::PodRecord& pod) {
  const v1::PodSandboxConfig& config = pod.config();
  const runtime::SelinuxHost& host = node_.host.selinux;
  const v1::LinuxContainerSecurityContext plain = PlainContainer(config);
  // An impossible label is refused before anything is taken.
  CRISP_ASSIGN_OR_RETURN(const runtime::SelinuxLabels possible,
                         SelectSelinux(config, plain, host, ""));
  LevelLease lease;
  if (possible.mount.empty()) return lease;
  if (const std::string asked = SelinuxLevelOf(config); !asked.empty()) {
    lease = LevelLease::Share(levels_, asked);
  } else if (host.levels) {
    CRISP_ASSIGN_OR_RETURN(lease, LevelLease::Allocate(levels_));
  }
  CRISP_ASSIGN_OR_RETURN(runtime::SelinuxLabels labels,
                         SelectSelinux(config, plain, host, lease.level()));
  CRISP_RETURN_IF_ERROR(CheckLabels(labels));
  pod.set_selinux_level(lease.level());
  pod.set_selinux_mount_label(std::move(labels.mount));
  return lease;
}

absl::StatusOr<std::string> SelinuxLabels::PodInitLabel(const state::PodRecord& pod) const {
  if (pod.selinux_mount_label().empty()) return "";
  const v1::PodSandboxConfig& config = pod.config();
  CRISP_ASSIGN_OR_RETURN(
      runtime::SelinuxLabels labels,
      SelectSelinux(config, PlainContainer(config), node_.host.selinux, pod.selinux_level()));
  return std::move(labels.process);
}

LevelLease SelinuxLabels::ReserveFor(const v1::ContainerConfig& config,
                                     const state::PodRecord& pod) {
  const std::string& level = config.linux().security_context().selinux_options().level();
  if (pod.selinux_mount_label().empty() || level == pod.selinux_level()) return {};
  return LevelLease::Share(levels_, level);
}

absl::StatusOr<runtime::SelinuxLabels> SelinuxLabels::Of(const v1::ContainerConfig& config,
                                                         const state::PodRecord& pod) const {
  CRISP_ASSIGN_OR_RETURN(runtime::SelinuxLabels labels,
                         SelectSelinux(pod.config(), config.linux().security_context(),
                                       node_.host.selinux, pod.selinux_level()));
  CRISP_RETURN_IF_ERROR(CheckLabels(labels));
  return labels;
}

}  // namespace crisp::cri
