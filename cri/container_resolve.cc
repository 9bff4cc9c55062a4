#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/safe_path.h"
#include "base/status.h"
#include "cri/container_create.h"
#include "cri/host_facts.h"
#include "cri/pod_manager.h"
#include "runtime/blockio_classes.h"
#include "runtime/cdi_spec.h"

namespace crisp::cri {
namespace {

// Clients know a failed image volume by how its text begins.
absl::Status ImageVolumeError(const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat("ImageVolumeMountFailed: ", std::string(status.message())));
}

// Whether some layer has the directory. What is below a symlink is found by the shim, in the merged tree.
bool SubPathMayExist(const std::vector<std::string>& lowers, const std::string& sub_path) {
  for (const std::string& lower : lowers) {
    auto layer = Open(lower, O_PATH | O_DIRECTORY);
    if (layer.ok() && OpenInRoot(layer->get(), sub_path, O_PATH).ok()) return true;
  }
  return false;
}

std::map<std::string, std::string> ToMap(const google::protobuf::Map<std::string, std::string>& map) {
  return {map.begin(), map.end()};
}

}  // namespace

absl::Status PodManager::ResolveMounts(CreateJob& job) {
  std::optional<std::string> mountinfo;
  int images = 0;
  std::vector<std::string> sources;
  for (const v1::Mount& mount : job.config.mounts()) {
    if (!mount.has_image()) sources.push_back(mount.host_path());
  }
  auto resolved_sources = paths_->Resolve(sources);
  if (!resolved_sources.ok()) return Annotate(resolved_sources.status(), "mounts");
  auto source = resolved_sources->begin();
  const auto held = job.container->Snapshot();
  const state::ContainerRecord& record = *held;
  for (const v1::Mount& mount : job.config.mounts()) {
    ResolvedMount resolved{.mount = mount};
    v1::Mount shown = mount;
    if (mount.has_image()) {
      resolved.image_key = record.view_keys(images++);
      absl::StatusOr<storage::Image> image = images_->Find(mount.image().image());
      if (!image.ok()) return ImageVolumeError(image.status());
      absl::StatusOr<storage::RootFs> view = images_->PrepareView(resolved.image_key, image->id);
      if (!view.ok()) return ImageVolumeError(view.status());
      if (!mount.image_sub_path().empty() && !SubPathMayExist(view->lower_dirs, mount.image_sub_path())) {
        return ImageVolumeError(absl::InvalidArgumentError(
            absl::StrCat("the image has no path ", mount.image_sub_path())));
      }
      resolved.image_id = image->id;
      job.image_volumes[resolved.image_key] = {.lowers = view->lower_dirs, .sub_path = mount.image_sub_path()};
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

absl::Status PodManager::ResolveDevices(CreateJob& job) {
  for (const v1::Device& device : job.config.devices()) {
    const std::string shown = device.container_path().empty() ? device.host_path() : device.container_path();
    if (shown.empty() || shown[0] != '/' || device.host_path().empty() || device.host_path()[0] != '/') {
      return absl::InvalidArgumentError(
          absl::StrCat("devices: \"", device.host_path(), "\" at \"", shown, "\" are not absolute paths"));
    }
    if (device.permissions().find_first_not_of("rwm") != std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("devices: permissions \"", device.permissions(), "\" are not of r, w and m"));
    }
    auto found = ScanDevices(*paths_, device.host_path(), shown);
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

absl::Status PodManager::ApplyBlockIoClass(CreateJob& job) {
  const std::string name = runtime::SelectBlockIoClass(
      job.config.metadata().name(), ToMap(job.config.annotations()), ToMap(job.pod_config.annotations()));
  if (name.empty()) return absl::OkStatus();
  const std::string& path = options_.blockio_config_file;
  const auto invalid = [&name](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("block IO class \"", name, "\": ", why));
  };
  if (path.empty()) return invalid("this node has no classes (runtime.blockio_config_file is not set)");
  // Read each time: a few kilobytes, and an edit counts from the next container on.
  absl::StatusOr<std::string> text = ReadFile(path, 1u << 20);
  if (!text.ok()) return invalid(text.status().message());
  absl::StatusOr<runtime::BlockIoClasses> classes = runtime::ParseBlockIoClasses(*text);
  if (!classes.ok()) return invalid(absl::StrCat(path, ": ", std::string(classes.status().message())));
  const auto rules = classes->find(name);
  if (rules == classes->end()) return invalid(absl::StrCat("is not among those of ", path));
  absl::Status looked;
  auto limits = runtime::ResolveBlockIo(rules->second, [&](const std::string& pattern) {
    auto devices = paths_->BlockDevices(pattern);
    looked.Update(devices.status());
    return devices.ok() ? *std::move(devices) : std::vector<runtime::DeviceNumber>();
  });
  if (!looked.ok()) return Annotate(looked, absl::StrCat("block IO class \"", name, "\""));
  if (!limits.ok()) return Annotate(limits.status(), absl::StrCat("block IO class \"", name, "\""));
  job.spec.linux_.resources.block_io = *std::move(limits);
  return absl::OkStatus();
}

absl::Status PodManager::InjectCdiDevices(CreateJob& job) {
  std::vector<std::string> devices;
  for (const v1::CDIDevice& device : job.config.cdi_devices()) devices.push_back(device.name());
  for (std::string& device : runtime::CdiDevicesOfAnnotations(ToMap(job.config.annotations()))) {
    devices.push_back(std::move(device));
  }
  if (devices.empty()) return absl::OkStatus();
  if (options_.cdi_spec_dirs.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("CDI device ", devices[0], ": CDI is off (runtime.cdi_spec_dirs is empty)"));
  }
  CRISP_ASSIGN_OR_RETURN(const runtime::CdiEdits edits, cdi_.Resolve(devices));
  CRISP_RETURN_IF_ERROR(runtime::ApplyCdiEdits(edits, job.spec, job.device_sources));
  job.user.groups = job.spec.process.user.additional_gids;
  return absl::OkStatus();
}

absl::Status PodManager::ResolveUser(CreateJob& job) {
  CRISP_ASSIGN_OR_RETURN(const runtime::UserRequest request, MakeUserRequest(job.config, job.image));
  CRISP_ASSIGN_OR_RETURN(const runtime::AccountFiles files, runtime::ReadAccountFiles(job.root.lower_dirs));
  CRISP_ASSIGN_OR_RETURN(job.user, runtime::ResolveUser(request, files));
  return absl::OkStatus();
}

absl::Status PodManager::MakeVolumes(CreateJob& job) {
  std::vector<std::string> taken;
  for (const v1::Mount& mount : job.config.mounts()) taken.push_back(CleanAbsolutePath(mount.container_path()));
  for (size_t i = 0; i < job.image.volumes.size(); ++i) {
    const std::string path = CleanAbsolutePath(job.image.volumes[i]);
    if (path == "/" || std::find(taken.begin(), taken.end(), path) != taken.end()) continue;
    const std::string directory = absl::StrCat(VolumeDir(job.container->id), "/", i);
    CRISP_RETURN_IF_ERROR(MakeDirs(directory, 0755));
    if (!job.selinux.mount.empty()) {
      CRISP_RETURN_IF_ERROR(runtime::SetSelinuxLabel(directory, job.selinux.mount));
    }
    job.volumes[path] = directory;
  }
  return absl::OkStatus();
}

}  // namespace crisp::cri
