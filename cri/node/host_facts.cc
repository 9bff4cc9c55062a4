#include "cri/node/host_facts.h"

#include <sys/stat.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/mountinfo.h"
#include "base/status.h"
#include "runtime/lsm/apparmor.h"
#include "runtime/oci/capabilities.h"

namespace crisp::cri {
namespace {

std::vector<std::string> HugepageSizes() {
  std::vector<std::string> sizes;
  auto names = ListDir("/sys/kernel/mm/hugepages");
  if (!names.ok()) return sizes;
  for (const std::string& name : *names) {
    absl::string_view text = name;
    uint64_t kib = 0;
    if (!absl::ConsumePrefix(&text, "hugepages-") || !absl::ConsumeSuffix(&text, "kB") ||
        !absl::SimpleAtoi(text, &kib)) {
      continue;
    }
    if (kib >= 1u << 20)
      sizes.push_back(absl::StrCat(kib >> 20, "GB"));
    else if (kib >= 1u << 10)
      sizes.push_back(absl::StrCat(kib >> 10, "MB"));
    else
      sizes.push_back(absl::StrCat(kib, "KB"));
  }
  return sizes;
}

runtime::OciDevice FromNode(const runtime::HostNode& node, std::string path) {
  return {.type = S_ISBLK(node.mode) ? "b" : "c",
          .path = std::move(path),
          .major = node.major,
          .minor = node.minor,
          .file_mode = node.mode & 07777,
          .uid = node.uid,
          .gid = node.gid};
}

}  // namespace

HostFacts ReadHostFacts(const runtime::CgroupLayout& layout) {
  HostFacts facts{.cgroup_v2 = layout.v2, .capabilities = runtime::DaemonCapabilities()};
  facts.apparmor = runtime::HasAppArmor();
  facts.selinux = runtime::DetectSelinux();
  if (layout.v2 || layout.Find("hugetlb") != nullptr) facts.hugepage_sizes = HugepageSizes();
  return facts;
}

absl::StatusOr<std::vector<runtime::OciDevice>> ScanDevices(runtime::HostPaths& paths,
                                                            const std::string& path,
                                                            const std::string& shown) {
  auto nodes = paths.Devices(path);
  if (!nodes.ok()) return Annotate(nodes.status(), "devices");
  std::vector<runtime::OciDevice> devices;
  for (const runtime::HostNode& node : *nodes) {
    std::string as = absl::StrCat(shown, node.name);
    // Console and ptmx are the container's own.
    if (!node.name.empty() && (as == "/dev/console" || as == "/dev/ptmx")) continue;
    devices.push_back(FromNode(node, std::move(as)));
  }
  return devices;
}

bool IsPathsTrouble(const absl::Status& status) {
  return absl::IsDeadlineExceeded(status) || absl::IsUnavailable(status) ||
         absl::IsResourceExhausted(status);
}

std::string PropagationOf(absl::string_view mountinfo, absl::string_view path) {
  std::string best = "private";
  size_t best_length = 0;
  ForEachMount(mountinfo, [&](const MountEntry& mount) {
    const absl::string_view point = mount.mount_point;
    const bool holds =
        point == "/" || path == point ||
        (absl::StartsWith(path, point) && path.size() > point.size() && path[point.size()] == '/');
    // The later of two mounts on one point is on top.
    if (!holds || point.size() < best_length) return;
    best_length = point.size();
    best = mount.shared ? "shared" : mount.slave ? "slave" : "private";
  });
  return best;
}

}  // namespace crisp::cri
