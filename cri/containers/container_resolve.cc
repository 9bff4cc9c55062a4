#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/lower.h"
#include "base/safe_path.h"
#include "base/status.h"
#include "cri/containers/container_maker.h"
#include "cri/node/host_facts.h"
#include "runtime/lsm/selinux.h"

namespace crisp::cri {
namespace {

// Clients know a failed image volume by how its text begins.
absl::Status ImageVolumeError(const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat("ImageVolumeMountFailed: ", std::string(status.message())));
}

// True if some layer has the directory. The shim finds a path below a symlink, in the merged tree.
bool SubPathMayExist(const std::vector<Lower>& lowers, const std::string& sub_path) {
  for (const Lower& lower : lowers) {
    auto layer = OpenLower(lower, O_PATH);
    if (layer.ok() && OpenInRoot(layer->get(), sub_path, O_PATH).ok()) return true;
  }
  return false;
}

}  // namespace

absl::Status ContainerMaker::ResolveMounts(ContainerJob& job) {
  std::optional<std::string> mountinfo;
  int images = 0;
  std::vector<std::string> sources;
  for (const v1::Mount& mount : job.config.mounts()) {
    if (!mount.has_image()) sources.push_back(mount.host_path());
  }
  auto resolved_sources = node_.paths->Resolve(sources);
  if (!resolved_sources.ok()) return Annotate(resolved_sources.status(), "mounts");
  auto source = resolved_sources->begin();
  const auto held = job.container->Snapshot();
  const state::ContainerRecord& record = *held;
  for (const v1::Mount& mount : job.config.mounts()) {
    ResolvedMount resolved{.mount = mount};
    v1::Mount shown = mount;
    if (mount.has_image()) {
      resolved.image_key = record.view_keys(images++);
      absl::StatusOr<storage::Image> image = node_.images->Find(mount.image().image());
      if (!image.ok()) return ImageVolumeError(image.status());
      absl::StatusOr<storage::RootFs> view =
          node_.images->PrepareView(resolved.image_key, image->id);
      if (!view.ok()) return ImageVolumeError(view.status());
      if (!mount.image_sub_path().empty() &&
          !SubPathMayExist(view->lower_dirs, mount.image_sub_path())) {
        return ImageVolumeError(absl::InvalidArgumentError(
            absl::StrCat("the image has no path ", mount.image_sub_path())));
      }
      resolved.image_id = image->id;
      job.image_volumes[resolved.image_key] = {.lowers = view->lower_dirs,
                                               .sub_path = mount.image_sub_path()};
      shown.mutable_image()->set_image_ref(image->id);
    } else {
      resolved.host_path = std::move(*source++);
      if (mount.propagation() != v1::PROPAGATION_PRIVATE) {
        if (!mountinfo.has_value()) {
          CRISP_ASSIGN_OR_RETURN(mountinfo, ReadFile("/proc/self/mountinfo"));
        }
        resolved.host_propagation = PropagationOf(*mountinfo, resolved.host_path);
      }
    }
    CRISP_RETURN_IF_ERROR(RelabelVolume(job, resolved));
    job.mounts.push_back(std::move(resolved));
    job.shown_mounts.push_back(std::move(shown));
  }
  return absl::OkStatus();
}

absl::Status ContainerMaker::ResolveDevices(ContainerJob& job) {
  for (const v1::Device& device : job.config.devices()) {
    const std::string shown =
        device.container_path().empty() ? device.host_path() : device.container_path();
    if (shown.empty() || shown[0] != '/' || device.host_path().empty() ||
        device.host_path()[0] != '/') {
      return absl::InvalidArgumentError(absl::StrCat("devices: \"", device.host_path(), "\" at \"",
                                                     shown, "\" are not absolute paths"));
    }
    if (device.permissions().find_first_not_of("rwm") != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat(
          "devices: permissions \"", device.permissions(), "\" are not of r, w and m"));
    }
    auto found = ScanDevices(*node_.paths, device.host_path(), shown);
    if (!found.ok() && IsPathsTrouble(found.status())) return found.status();
    if (!found.ok()) return absl::InvalidArgumentError(std::string(found.status().message()));
    for (runtime::OciDevice& node : *found) {
      std::string host = absl::StrCat(device.host_path(), node.path.substr(shown.size()));
      if (host != node.path) job.device_sources[node.path] = std::move(host);
      job.devices.push_back({.device = std::move(node), .permissions = device.permissions()});
    }
  }
  return absl::OkStatus();
}

absl::Status ContainerMaker::ResolveUser(ContainerJob& job) {
  CRISP_ASSIGN_OR_RETURN(const runtime::UserRequest request,
                         MakeUserRequest(job.config, job.image));
  CRISP_ASSIGN_OR_RETURN(const runtime::AccountFiles files,
                         runtime::ReadAccountFiles(job.root.lower_dirs));
  CRISP_ASSIGN_OR_RETURN(job.user, runtime::ResolveUser(request, files));
  return absl::OkStatus();
}

absl::Status ContainerMaker::MakeVolumes(ContainerJob& job) {
  std::vector<std::string> taken;
  for (const v1::Mount& mount : job.config.mounts())
    taken.push_back(CleanAbsolutePath(mount.container_path()));
  for (size_t i = 0; i < job.image.volumes.size(); ++i) {
    const std::string path = CleanAbsolutePath(job.image.volumes[i]);
    if (path == "/" || std::find(taken.begin(), taken.end(), path) != taken.end()) continue;
    const std::string directory = absl::StrCat(node_.VolumeDir(job.container->id), "/", i);
    CRISP_RETURN_IF_ERROR(MakeDirs(directory, 0755));
    if (!job.selinux.mount.empty()) {
      CRISP_RETURN_IF_ERROR(runtime::SetSelinuxLabel(directory, job.selinux.mount));
    }
    job.volumes[path] = directory;
  }
  return absl::OkStatus();
}

absl::Status ContainerMaker::RelabelVolume(const ContainerJob& job,
                                           const ResolvedMount& mount) const {
  // An unconfined container needs no label, and others in the pod may have theirs on it.
  if (!mount.mount.selinux_relabel() || mount.mount.has_image() || !job.selinux.confined) {
    return absl::OkStatus();
  }
  const absl::Status labelled = node_.paths->Relabel(mount.host_path, job.selinux.mount);
  return Annotate(labelled, absl::StrCat("mounts: ", mount.mount.container_path()));
}

}  // namespace crisp::cri
