#include <string>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "cri/container_create.h"
#include "cri/pod_manager.h"
#include "runtime/selinux.h"

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

absl::Status PodManager::AssignSelinux(state::PodRecord& record) {
  const v1::PodSandboxConfig& config = record.config();
  const runtime::SelinuxHost& host = host_.selinux;
  const v1::LinuxContainerSecurityContext plain = PlainContainer(config);
  // What cannot be is refused before anything is taken.
  CRISP_ASSIGN_OR_RETURN(const runtime::SelinuxLabels possible, SelectSelinux(config, plain, host, ""));
  if (possible.mount.empty()) return absl::OkStatus();
  std::string level = SelinuxLevelOf(config);
  if (!level.empty()) {
    mcs_.Reserve(level);
  } else if (host.levels) {
    CRISP_ASSIGN_OR_RETURN(level, mcs_.Allocate());
  }
  absl::StatusOr<runtime::SelinuxLabels> labels = SelectSelinux(config, plain, host, level);
  const absl::Status checked = labels.ok() ? CheckLabels(*labels) : labels.status();
  if (!checked.ok()) {
    mcs_.Release(level);
    return checked;
  }
  record.set_selinux_level(std::move(level));
  record.set_selinux_mount_label(std::move(labels->mount));
  return absl::OkStatus();
}

absl::StatusOr<std::string> PodManager::PodInitLabel(const state::PodRecord& record) const {
  if (record.selinux_mount_label().empty()) return "";
  const v1::PodSandboxConfig& config = record.config();
  CRISP_ASSIGN_OR_RETURN(runtime::SelinuxLabels labels,
                         SelectSelinux(config, PlainContainer(config), host_.selinux, record.selinux_level()));
  return std::move(labels.process);
}

std::string PodManager::ReserveSelinux(const v1::ContainerConfig& config, const state::PodRecord& pod) {
  const std::string& level = config.linux().security_context().selinux_options().level();
  if (pod.selinux_mount_label().empty() || level == pod.selinux_level()) return "";
  mcs_.Reserve(level);
  return level;
}

absl::Status PodManager::ResolveSelinux(CreateJob& job) {
  CRISP_ASSIGN_OR_RETURN(job.selinux,
                         SelectSelinux(job.pod_config, job.config.linux().security_context(),
                                       host_.selinux, job.pod->Snapshot()->selinux_level()));
  return CheckLabels(job.selinux);
}

absl::Status PodManager::RelabelVolume(const CreateJob& job, const ResolvedMount& mount) const {
  // Whoever is not confined needs no label, and others in the pod may have theirs on it.
  if (!mount.mount.selinux_relabel() || mount.mount.has_image() || !job.selinux.confined) {
    return absl::OkStatus();
  }
  const absl::Status labelled = paths_->Relabel(mount.host_path, job.selinux.mount);
  return Annotate(labelled, absl::StrCat("mounts: ", mount.mount.container_path()));
}

}  // namespace crisp::cri
