#include "cri/host_facts.h"

#include <climits>
#include <cstdlib>

#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/status.h"
#include "runtime/apparmor.h"
#include "runtime/capabilities.h"

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
    if (kib >= 1u << 20) sizes.push_back(absl::StrCat(kib >> 20, "GB"));
    else if (kib >= 1u << 10) sizes.push_back(absl::StrCat(kib >> 10, "MB"));
    else sizes.push_back(absl::StrCat(kib, "KB"));
  }
  return sizes;
}

runtime::OciDevice FromStat(const struct stat& st, std::string path) {
  return {.type = S_ISBLK(st.st_mode) ? "b" : "c",
          .path = std::move(path),
          .major = static_cast<int64_t>(major(st.st_rdev)),
          .minor = static_cast<int64_t>(minor(st.st_rdev)),
          .file_mode = st.st_mode & 07777,
          .uid = st.st_uid,
          .gid = st.st_gid};
}

void ScanDirectory(const std::string& path,
                   const std::string& shown,
                   int depth,
                   std::vector<runtime::OciDevice>& devices) {
  auto names = ListDir(path);
  // What vanishes or cannot be read is no device for anybody.
  if (!names.ok() || depth > 8) return;
  for (const std::string& name : *names) {
    const std::string child = absl::StrCat(path, "/", name);
    const std::string as = absl::StrCat(shown, "/", name);
    struct stat st;
    if (::lstat(child.c_str(), &st) != 0) continue;
    if (S_ISDIR(st.st_mode)) {
      if (name == "pts" || name == "shm" || name == "mqueue" || name == "fd") continue;
      ScanDirectory(child, as, depth + 1, devices);
    } else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
      // 0:0 is a whiteout; console and ptmx are the container's own.
      if (st.st_rdev == 0 || as == "/dev/console" || as == "/dev/ptmx") continue;
      devices.push_back(FromStat(st, as));
    }
  }
}

}  // namespace

HostFacts ReadHostFacts(const runtime::CgroupLayout& layout) {
  HostFacts facts{.cgroup_v2 = layout.v2, .capabilities = runtime::DaemonCapabilities()};
  facts.apparmor = runtime::HasAppArmor();
  facts.selinux = runtime::DetectSelinux();
  if (layout.v2 || layout.Find("hugetlb") != nullptr) facts.hugepage_sizes = HugepageSizes();
  return facts;
}

absl::StatusOr<std::vector<runtime::OciDevice>> ScanDevices(const std::string& path,
                                                            const std::string& shown) {
  struct stat st;
  if (::stat(path.c_str(), &st) != 0) return ErrnoError(errno, absl::StrCat("devices: stat ", path));
  std::vector<runtime::OciDevice> devices;
  if (S_ISDIR(st.st_mode)) {
    ScanDirectory(path, shown, 0, devices);
  } else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
    devices.push_back(FromStat(st, shown));
  } else {
    return absl::InvalidArgumentError(absl::StrCat("devices: ", path, " is no device node"));
  }
  return devices;
}

std::string PropagationOf(absl::string_view mountinfo, absl::string_view path) {
  std::string best = "private";
  size_t best_length = 0;
  for (absl::string_view line : absl::StrSplit(mountinfo, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
    if (fields.size() < 7) continue;
    const absl::string_view point = fields[4];
    const bool holds = point == "/" || path == point ||
                       (absl::StartsWith(path, point) && path.size() > point.size() &&
                        path[point.size()] == '/');
    // The later of two mounts on one point is on top.
    if (!holds || point.size() < best_length) continue;
    best_length = point.size();
    best = "private";
    for (size_t i = 6; i < fields.size() && fields[i] != "-"; ++i) {
      if (absl::StartsWith(fields[i], "shared:")) best = "shared";
      else if (absl::StartsWith(fields[i], "master:") && best == "private") best = "slave";
    }
  }
  return best;
}

absl::StatusOr<std::string> ResolveHostPath(const std::string& path) {
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), resolved) != nullptr) return std::string(resolved);
  if (errno != ENOENT) return ErrnoError(errno, absl::StrCat("mounts: resolve ", path));
  CRISP_RETURN_IF_ERROR(MakeDirs(path, 0755));
  if (::realpath(path.c_str(), resolved) != nullptr) return std::string(resolved);
  return ErrnoError(errno, absl::StrCat("mounts: resolve ", path));
}

}  // namespace crisp::cri
