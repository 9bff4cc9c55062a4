#include "runtime/cgroup/cgroup_layout.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/mountinfo.h"
#include "base/safe_path.h"
#include "base/status.h"

namespace crisp::runtime {
namespace {

bool IsController(absl::string_view word) {
  static const auto* const kControllers = new std::set<std::string>{
      "blkio",  "cpu",     "cpuacct",  "cpuset",     "devices", "freezer", "hugetlb",
      "memory", "net_cls", "net_prio", "perf_event", "pids",    "rdma"};
  return kControllers->contains(std::string(word));
}

void AddMount(const MountEntry& mount,
              CgroupLayout& v1,
              std::vector<CgroupHierarchy>& unified,
              bool& nsdelegate) {
  CgroupHierarchy hierarchy{.mount_point = mount.mount_point};
  const auto options = absl::StrSplit(mount.super_options, ',');
  if (mount.type == "cgroup2") {
    unified.push_back(std::move(hierarchy));
    // There is one super block.
    for (absl::string_view word : options) nsdelegate |= word == "nsdelegate";
    return;
  }
  if (mount.type != "cgroup") return;
  for (absl::string_view word : options) {
    if (IsController(word)) hierarchy.controllers.emplace_back(word);
  }
  // A hierarchy that is mounted twice counts where it was mounted first.
  if (hierarchy.controllers.empty() || v1.Find(hierarchy.controllers[0]) != nullptr) return;
  v1.hierarchies.push_back(std::move(hierarchy));
}

absl::Status BadParent(absl::string_view parent, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("cgroup parent \"", parent, "\": ", why));
}

absl::Status CheckParts(absl::string_view parent) {
  for (absl::string_view part : absl::StrSplit(parent, '/')) {
    if (part == "..") return BadParent(parent, "has \"..\"");
  }
  if (parent.find('\0') != absl::string_view::npos ||
      parent.find('\n') != absl::string_view::npos) {
    return BadParent(parent, "has a control character");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> CgroupfsPodPath(absl::string_view parent, absl::string_view pod_id) {
  if (parent.empty()) return absl::StrCat(kDefaultCgroupParent, "/", pod_id);
  CRISP_RETURN_IF_ERROR(CheckParts(parent));
  std::string clean = CleanAbsolutePath(parent);
  if (absl::EndsWith(clean, ".slice")) {
    return BadParent(parent,
                     "is a systemd slice, but the cgroup driver is cgroupfs; set cgroupDriver: "
                     "systemd in crisp's configuration or cgroupDriver: cgroupfs in the kubelet's");
  }
  return clean;
}

}  // namespace

const CgroupHierarchy* CgroupLayout::Find(absl::string_view controller) const {
  for (const CgroupHierarchy& hierarchy : hierarchies) {
    if (v2 || std::find(hierarchy.controllers.begin(), hierarchy.controllers.end(), controller) !=
                  hierarchy.controllers.end()) {
      return &hierarchy;
    }
  }
  return nullptr;
}

const CgroupHierarchy& CgroupLayout::Primary() const {
  for (const char* controller : {"freezer", "pids"}) {
    if (const CgroupHierarchy* found = Find(controller); found != nullptr) return *found;
  }
  return hierarchies.front();
}

absl::StatusOr<CgroupLayout> ParseCgroupLayout(absl::string_view mountinfo) {
  CgroupLayout v1;
  std::vector<CgroupHierarchy> unified;
  bool nsdelegate = false;
  ForEachMount(mountinfo,
               [&](const MountEntry& mount) { AddMount(mount, v1, unified, nsdelegate); });
  if (!v1.hierarchies.empty()) {
    v1.hybrid = !unified.empty();
    return v1;
  }
  if (unified.empty()) {
    return absl::FailedPreconditionError(
        "no cgroup hierarchy is mounted: mount cgroup2 at /sys/fs/cgroup");
  }
  return CgroupLayout{.v2 = true, .nsdelegate = nsdelegate, .hierarchies = {unified[0]}};
}

absl::StatusOr<CgroupLayout> DetectCgroups() {
  CRISP_ASSIGN_OR_RETURN(std::string mountinfo, ReadFile("/proc/self/mountinfo"));
  return ParseCgroupLayout(mountinfo);
}

absl::StatusOr<std::string> ExpandSlice(absl::string_view slice) {
  auto refuse = [slice] {
    return absl::InvalidArgumentError(absl::StrCat("\"", slice, "\" is not the name of a slice"));
  };
  absl::string_view name = slice;
  if (!absl::EndsWith(name, ".slice") || absl::StrContains(name, "/")) return refuse();
  name.remove_suffix(6);
  if (name == "-") return std::string("/");
  if (name.empty() || name.front() == '-' || name.back() == '-' || absl::StrContains(name, "--")) {
    return refuse();
  }
  std::string path, prefix;
  for (absl::string_view part : absl::StrSplit(name, '-')) {
    absl::StrAppend(&prefix, prefix.empty() ? "" : "-", part);
    absl::StrAppend(&path, "/", prefix, ".slice");
  }
  return path;
}

absl::StatusOr<std::string> PodCgroupPath(CgroupDriver driver,
                                          absl::string_view parent,
                                          absl::string_view pod_id) {
  if (driver == CgroupDriver::kCgroupfs) return CgroupfsPodPath(parent, pod_id);
  if (parent.empty()) return PodScopePath(parent, pod_id);
  CRISP_ASSIGN_OR_RETURN(const std::string slice, PodSlice(parent));
  return ExpandSlice(slice);
}

absl::StatusOr<std::string> PodSlice(absl::string_view parent) {
  if (parent.empty()) return std::string(kDefaultSlice);
  CRISP_RETURN_IF_ERROR(CheckParts(parent));
  // Kubelets send the last slice's name, or the whole path to it.
  std::vector<absl::string_view> parts = absl::StrSplit(parent, '/', absl::SkipEmpty());
  if (parts.empty() || !absl::EndsWith(parts.back(), ".slice")) {
    return BadParent(parent,
                     "is not a systemd slice, but the cgroup driver is systemd; set cgroupDriver: "
                     "cgroupfs in crisp's configuration or cgroupDriver: systemd in the kubelet's");
  }
  return std::string(parts.back());
}

absl::StatusOr<std::string> PodScopePath(absl::string_view parent, absl::string_view pod_id) {
  CRISP_ASSIGN_OR_RETURN(const std::string name, PodSlice(parent));
  CRISP_ASSIGN_OR_RETURN(std::string slice, ExpandSlice(name));
  if (slice == "/") slice.clear();
  return absl::StrCat(slice, "/crisp-", pod_id, ".scope");
}

// Only with systemd is the parent a slice, "-.slice" (which is "/") among them.
CgroupDriver DriverOfPod(absl::string_view parent, absl::string_view path) {
  const bool systemd = parent.empty() ? absl::EndsWith(path, ".scope") : PodSlice(parent).ok();
  return systemd ? CgroupDriver::kSystemd : CgroupDriver::kCgroupfs;
}

absl::StatusOr<std::string> ContainerCgroupPath(CgroupDriver driver,
                                                absl::string_view parent,
                                                absl::string_view pod_id,
                                                absl::string_view id) {
  absl::StatusOr<std::string> above = driver == CgroupDriver::kCgroupfs
                                          ? PodCgroupPath(driver, parent, pod_id)
                                          : PodScopePath(parent, pod_id);
  if (!above.ok()) return above.status();
  return absl::StrCat(*above == "/" ? "" : *above, "/", id);
}

}  // namespace crisp::runtime
