#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/safe_path.h"
#include "base/status.h"
#include "runtime/devices/cdi_spec.h"

namespace crisp::runtime {
namespace {

absl::Status Missing(const absl::Status& error, absl::string_view path) {
  const std::string text = absl::StrCat("host path ", path, ": ", error.message());
  // A path that does not answer is another matter. NotFound would say that the pod or the image is.
  if (absl::IsDeadlineExceeded(error) || absl::IsResourceExhausted(error))
    return absl::Status(error.code(), text);
  return absl::FailedPreconditionError(text);
}

const char* TypeOf(mode_t mode) {
  if (S_ISBLK(mode)) return "b";
  if (S_ISCHR(mode)) return "c";
  return S_ISFIFO(mode) ? "p" : "";
}

absl::Status CompleteNode(CdiDeviceNode& node, const StatOnHost& stat) {
  if (node.host_path.empty()) node.host_path = node.path;
  if (node.type == "u") node.type = "c";
  const bool said = !node.type.empty() && (node.major != 0 || node.type == "p");
  const absl::StatusOr<HostNode> found = stat(node.host_path, Links::kStay);
  if (!found.ok()) return said ? absl::OkStatus() : Missing(found.status(), node.host_path);
  if (!node.file_mode.has_value()) node.file_mode = found->mode & 07777;
  if (said) return absl::OkStatus();
  const std::string type = TypeOf(found->mode);
  if (type.empty() || (!node.type.empty() && node.type != type)) {
    return absl::FailedPreconditionError(
        absl::StrCat("host path ", node.host_path, " is not a device",
                     node.type.empty() ? "" : " of type ", node.type));
  }
  node.type = type;
  if (type == "p") return absl::OkStatus();
  node.major = found->major;
  node.minor = found->minor;
  return absl::OkStatus();
}

bool IsBind(const CdiMount& mount) {
  if (mount.type == "bind" || mount.type.empty() || mount.type == "none") return true;
  return std::any_of(mount.options.begin(), mount.options.end(),
                     [](const std::string& word) { return word == "bind" || word == "rbind"; });
}

void SetVariable(const std::string& entry, std::vector<std::string>& env) {
  const std::string name = entry.substr(0, entry.find('=') + 1);
  for (std::string& other : env) {
    if (!absl::StartsWith(other, name)) continue;
    other = entry;
    return;
  }
  env.push_back(entry);
}

absl::Status AddNode(const CdiDeviceNode& node,
                     OciSpec& spec,
                     std::map<std::string, std::string>& device_sources) {
  const std::string path = CleanAbsolutePath(node.path);
  if (path == "/") return absl::InvalidArgumentError("a device node cannot be at /");
  OciDevice device{.type = node.type,
                   .path = path,
                   .major = node.major,
                   .minor = node.minor,
                   .file_mode = node.file_mode,
                   .uid = node.uid,
                   .gid = node.gid};
  // As the reference library has it: what belongs to nobody is the container's user's.
  if (!device.uid.has_value() && spec.process.user.uid != 0) device.uid = spec.process.user.uid;
  if (!device.gid.has_value() && spec.process.user.gid != 0) device.gid = spec.process.user.gid;
  std::erase_if(spec.linux_.devices,
                [&](const OciDevice& other) { return CleanAbsolutePath(other.path) == path; });
  spec.linux_.devices.push_back(std::move(device));
  if (node.host_path != path)
    device_sources[path] = node.host_path;
  else
    device_sources.erase(path);
  // No access asked for: the node is there, the cgroup refuses it. A FIFO needs no rule.
  if (node.type == "p" || node.permissions.empty()) return absl::OkStatus();
  spec.linux_.resources.devices.push_back({.allow = true,
                                           .type = node.type,
                                           .major = node.major,
                                           .minor = node.minor,
                                           .access = node.permissions});
  return absl::OkStatus();
}

absl::Status AddMount(const CdiMount& mount, OciSpec& spec) {
  OciMount oci{.destination = CleanAbsolutePath(mount.container_path),
               .type = mount.type,
               .source = mount.host_path,
               .options = mount.options};
  if (oci.destination == "/") return absl::InvalidArgumentError("a mount cannot be at /");
  if (IsBind(mount)) {
    oci.type = "bind";
    if (spec.FindNamespace("user") != nullptr) oci.options.push_back("idmap");
  }
  std::erase_if(spec.mounts,
                [&](const OciMount& other) { return other.destination == oci.destination; });
  spec.mounts.push_back(std::move(oci));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<HostNode> StatDirectly(const std::string& path, Links links) {
  struct stat st {};
  if ((links == Links::kStay ? ::lstat(path.c_str(), &st) : ::stat(path.c_str(), &st)) != 0)
    return ErrnoError(errno, "stat");
  return HostNode{.mode = st.st_mode, .major = major(st.st_rdev), .minor = minor(st.st_rdev)};
}

absl::Status CompleteCdiEdits(CdiEdits& edits, const StatOnHost& stat) {
  for (CdiDeviceNode& node : edits.device_nodes) CRISP_RETURN_IF_ERROR(CompleteNode(node, stat));
  for (const CdiMount& mount : edits.mounts) {
    if (!IsBind(mount)) continue;
    if (mount.host_path[0] != '/') {
      return absl::InvalidArgumentError(
          absl::StrCat("hostPath \"", mount.host_path, "\" is not absolute"));
    }
    const absl::StatusOr<HostNode> found = stat(mount.host_path, Links::kFollow);
    if (!found.ok()) return Missing(found.status(), mount.host_path);
  }
  return absl::OkStatus();
}

absl::Status ApplyCdiEdits(const CdiEdits& edits,
                           OciSpec& spec,
                           std::map<std::string, std::string>& device_sources) {
  for (const std::string& entry : edits.env) SetVariable(entry, spec.process.env);
  for (const CdiDeviceNode& node : edits.device_nodes) {
    CRISP_RETURN_IF_ERROR(AddNode(node, spec, device_sources));
  }
  for (const CdiMount& mount : edits.mounts) CRISP_RETURN_IF_ERROR(AddMount(mount, spec));
  if (!edits.mounts.empty()) {
    const auto depth = [](const std::string& path) {
      return path == "/" ? 0 : std::count(path.begin(), path.end(), '/');
    };
    std::stable_sort(spec.mounts.begin(), spec.mounts.end(),
                     [&](const OciMount& a, const OciMount& b) {
                       return depth(a.destination) < depth(b.destination);
                     });
  }
  std::vector<uint32_t>& gids = spec.process.user.additional_gids;
  for (const uint32_t gid : edits.additional_gids) {
    if (std::find(gids.begin(), gids.end(), gid) == gids.end()) gids.push_back(gid);
  }
  return absl::OkStatus();
}

}  // namespace crisp::runtime
