#include "runtime/crisp/cgroup_mounts.h"

#include <linux/mount.h>

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"

namespace crisp::runtime {
namespace {

std::string BaseName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

std::vector<MountPlan> CgroupMounts(const Cgroup& group,
                                    const std::string& destination,
                                    bool read_only,
                                    bool whole) {
  const uint64_t attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
                              (read_only ? MOUNT_ATTR_RDONLY : 0);
  auto bind = [&](std::string from, std::string to) {
    return MountPlan{.kind = MountKind::kBind,
                     .destination = std::move(to),
                     .source = std::move(from),
                     .attributes = attributes,
                     .recursive = false};
  };
  const CgroupLayout& layout = group.layout();
  if (group.v2())
    return {bind(whole ? layout.Primary().mount_point : group.PrimaryDir(), destination)};
  // A tmpfs of the container's own, for the host's would be everybody's.
  std::vector<MountPlan> mounts = {{.kind = MountKind::kFs,
                                    .destination = destination,
                                    .source = "tmpfs",
                                    .type = "tmpfs",
                                    .options = {"mode=755", "size=64k", "nr_inodes=64"},
                                    .attributes = attributes}};
  for (const CgroupHierarchy& hierarchy : layout.hierarchies) {
    const std::string name = BaseName(hierarchy.mount_point);
    mounts.push_back(
        bind(hierarchy.mount_point + group.path(), absl::StrCat(destination, "/", name)));
    // As hosts have them: "cpu" is a link to "cpu,cpuacct".
    for (const std::string& controller : hierarchy.controllers) {
      if (controller != name) mounts[0].lowers.push_back(absl::StrCat(controller, " ", name));
    }
  }
  return mounts;
}

}  // namespace crisp::runtime
