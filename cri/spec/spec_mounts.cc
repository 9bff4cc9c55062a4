#include <algorithm>
#include <climits>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/safe_path.h"
#include "base/status.h"
#include "cri/spec/spec_builder.h"
#include "runtime/oci/crisp_mounts.h"

namespace crisp::cri {
namespace {

using runtime::OciMount;

constexpr char kShm[] = "/dev/shm";

bool IsBelow(const std::string& path, const std::string& directory) {
  return absl::StartsWith(path, directory + "/");
}

// The pod's three files.
std::vector<OciMount> PodFileMounts(const SpecInputs& inputs) {
  const bool read_only = inputs.container.linux().security_context().readonly_rootfs();
  const bool older = !inputs.files_dir.empty();
  std::vector<OciMount> mounts;
  for (const char* name : {"hostname", "hosts", "resolv.conf"}) {
    OciMount mount{.destination = absl::StrCat("/etc/", name),
                   .type = "bind",
                   .source = older ? absl::StrCat(inputs.files_dir, "/", name)
                                   : absl::StrCat(runtime::kPodFilePrefix, name),
                   .options = {"bind", "nosuid", "nodev", read_only ? "ro" : "rw"}};
    // Others belong to the pod's root already.
    if (older && !inputs.namespaces.uid_maps.empty()) mount.options.push_back("idmap");
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

// The mounts that a container has without asking, except those in whose place it asks for others.
// The pod's own ones (the files, /dev/shm) lie on top of a volume that is mounted above them. The
// kernel's file systems do not, because a pod that mounts the host's /dev or /sys wants its
// contents.
std::vector<OciMount> DefaultsBeside(const std::set<std::string>& taken,
                                     std::vector<OciMount> kernels,
                                     std::vector<OciMount> pods) {
  std::vector<OciMount> mounts;
  for (OciMount& mount : kernels) {
    const std::string& path = mount.destination;
    const bool below = std::any_of(taken.begin(), taken.end(), [&path](const std::string& above) {
      return IsBelow(path, above);
    });
    if (path == kShm)
      pods.push_back(std::move(mount));
    else if (!below && !taken.contains(path))
      mounts.push_back(std::move(mount));
  }
  for (OciMount& mount : pods) {
    const std::string& path = mount.destination;
    if (taken.contains(path)) continue;
    // The volume may hold no place for it, and be read-only.
    if (std::any_of(taken.begin(), taken.end(),
                    [&path](const std::string& above) { return IsBelow(path, above); })) {
      mount.options.push_back(runtime::kOptionOptional);
    }
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

absl::Status CheckPropagation(const ResolvedMount& resolved) {
  const std::string& host = resolved.host_propagation;
  if (resolved.mount.propagation() == v1::PROPAGATION_BIDIRECTIONAL && host != "shared") {
    return absl::InvalidArgumentError(
        absl::StrCat("mounts: ", resolved.host_path,
                     " is mounted but it is not a shared mount, which "
                     "Bidirectional propagation needs"));
  }
  if (resolved.mount.propagation() == v1::PROPAGATION_HOST_TO_CONTAINER && host != "shared" &&
      host != "slave") {
    return absl::InvalidArgumentError(
        absl::StrCat("mounts: ", resolved.host_path,
                     " is mounted but it is not a shared or slave mount, "
                     "which HostToContainer propagation needs"));
  }
  return absl::OkStatus();
}

absl::StatusOr<OciMount> ConfigMount(const ResolvedMount& resolved) {
  const v1::Mount& mount = resolved.mount;
  OciMount oci{.destination = CleanAbsolutePath(mount.container_path())};
  if (mount.has_image()) {
    oci.type = runtime::kImageMountType;
    oci.source = resolved.image_key;
    // Not id-mapped as volumes are: in a user namespace all layers are seen through the pod's maps.
    oci.options = {"ro", "nosuid", "nodev"};
  } else {
    CRISP_RETURN_IF_ERROR(CheckPropagation(resolved));
    oci.type = "bind";
    oci.source = resolved.host_path;
    oci.options = {"rbind"};
    switch (mount.propagation()) {
      case v1::PROPAGATION_BIDIRECTIONAL:
        oci.options.push_back("rshared");
        break;
      case v1::PROPAGATION_HOST_TO_CONTAINER:
        oci.options.push_back("rslave");
        break;
      default:
        oci.options.push_back("rprivate");
    }
    oci.options.push_back(mount.recursive_read_only() ? "rro" : mount.readonly() ? "ro" : "rw");
    CRISP_ASSIGN_OR_RETURN(oci.uid_mappings, ToIdMaps(mount.uidmappings()));
    CRISP_ASSIGN_OR_RETURN(oci.gid_mappings, ToIdMaps(mount.gidmappings()));
  }
  for (const std::string& option : mount.mount_options()) oci.options.push_back(option);
  return oci;
}

size_t Depth(const std::string& path) {
  return path == "/" ? 0 : static_cast<size_t>(std::count(path.begin(), path.end(), '/'));
}

}  // namespace

absl::Status CheckMount(const v1::Mount& mount) {
  const std::string& path = mount.container_path();
  const auto fail = [&path](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("mounts: ", path, ": ", why));
  };
  if (path.empty() || path[0] != '/') return fail("container_path is not absolute");
  if (path.size() >= PATH_MAX)
    return absl::InvalidArgumentError("mounts: a container_path is too long");
  if (CleanAbsolutePath(path) == "/") return fail("cannot mount over the root");
  if (mount.recursive_read_only()) {
    if (!mount.readonly()) return fail("recursive_read_only needs readonly");
    if (mount.propagation() != v1::PROPAGATION_PRIVATE) {
      return fail("recursive_read_only needs private propagation");
    }
  }
  for (const std::string& option : mount.mount_options()) {
    if (option != "noexec" && option != "nodev" && option != "nosuid") {
      return fail(
          absl::StrCat("mount option \"", option, "\" is not one of noexec, nodev, nosuid"));
    }
  }
  if (mount.has_image()) {
    if (!mount.host_path().empty()) return fail("an image mount takes no host_path");
    if (!mount.readonly()) return fail("an image mount must be readonly");
    if (mount.image().image().empty()) return fail("the image has no name");
    return absl::OkStatus();
  }
  if (mount.host_path().empty() || mount.host_path()[0] != '/') {
    return fail(absl::StrCat("host_path \"", mount.host_path(), "\" is not absolute"));
  }
  return absl::OkStatus();
}

absl::Status ApplyMounts(const SpecInputs& inputs, runtime::OciSpec& spec) {
  std::vector<OciMount> mounts;
  std::set<std::string> taken;
  bool shared = false, slave = false;
  const bool userns = !inputs.namespaces.uid_maps.empty();
  for (const ResolvedMount& resolved : inputs.mounts) {
    CRISP_RETURN_IF_ERROR(CheckMount(resolved.mount));
    CRISP_ASSIGN_OR_RETURN(OciMount mount, ConfigMount(resolved));
    taken.insert(mount.destination);
    shared |= resolved.mount.propagation() == v1::PROPAGATION_BIDIRECTIONAL;
    slave |= resolved.mount.propagation() == v1::PROPAGATION_HOST_TO_CONTAINER;
    mounts.push_back(std::move(mount));
  }
  for (const auto& [path, directory] : inputs.volumes) {
    const std::string destination = CleanAbsolutePath(path);
    if (!taken.insert(destination).second) continue;
    OciMount volume{.destination = destination,
                    .type = "bind",
                    .source = directory,
                    .options = {"rbind", "rprivate", "rw", runtime::kOptionCopyUp}};
    if (userns) volume.options.push_back("idmap");
    mounts.push_back(std::move(volume));
  }
  spec.mounts = DefaultsBeside(taken, std::move(spec.mounts), PodFileMounts(inputs));
  spec.mounts.insert(spec.mounts.end(), mounts.begin(), mounts.end());
  // Parents first, so that no mount hides one that was asked for.
  std::stable_sort(spec.mounts.begin(), spec.mounts.end(),
                   [](const OciMount& a, const OciMount& b) {
                     return Depth(a.destination) < Depth(b.destination);
                   });
  spec.linux_.rootfs_propagation = shared ? "rshared" : slave ? "rslave" : "rprivate";
  return absl::OkStatus();
}

}  // namespace crisp::cri
