#ifndef CRISP_RUNTIME_CGROUP_CGROUP_LAYOUT_H_
#define CRISP_RUNTIME_CGROUP_CGROUP_LAYOUT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace crisp::runtime {

// The cgroup hierarchies of this machine, their places, and the names of groups in them. Values and
// pure functions, except DetectCgroups().

struct CgroupHierarchy {
  std::string mount_point;
  std::vector<std::string> controllers;  // v1: as mounted ("cpu", "cpuacct"); v2: empty
  bool operator==(const CgroupHierarchy&) const = default;
};

// v2 if only the unified hierarchy is mounted, v1 otherwise. A unified hierarchy beside v1's
// (systemd's "hybrid") has no controllers of use. It is noted and not used, and neither are named
// hierarchies.
struct CgroupLayout {
  bool v2 = false;
  bool hybrid = false;
  // v2: processes in a cgroup namespace cannot change the limits of its root
  bool nsdelegate = false;
  std::vector<CgroupHierarchy> hierarchies;  // v2: exactly one
  // The hierarchy with this v1 controller (on v2 the only one), or null.
  const CgroupHierarchy* Find(absl::string_view controller) const;
  // The hierarchy whose groups decide which processes belong to a container: v2's, else freezer,
  // pids, or the first.
  const CgroupHierarchy& Primary() const;
  bool operator==(const CgroupLayout&) const = default;
};

// FailedPrecondition when no usable hierarchy is mounted.
absl::StatusOr<CgroupLayout> DetectCgroups();
absl::StatusOr<CgroupLayout> ParseCgroupLayout(absl::string_view mountinfo);

enum class CgroupDriver { kCgroupfs, kSystemd };

// The parent of a pod's groups if the CRI names none.
inline constexpr char kDefaultCgroupParent[] = "/crisp";
inline constexpr char kDefaultSlice[] = "system.slice";

// "a-b.slice" → "/a.slice/a-b.slice"; "-.slice" → "/". InvalidArgument for a name that is not a
// slice's.
absl::StatusOr<std::string> ExpandSlice(absl::string_view slice);

// The following paths start at a hierarchy's root, "/kubepods/pod1/<id>". `parent` is the CRI's
// cgroup_parent, which with a kubelet is the pod's own group. InvalidArgument, with the exact
// remedy, if the parent's form does not fit the driver (a *.slice for cgroupfs, or a path for
// systemd), or if it has "..".
//
// The pod's group. It is the parent itself or, if there is none, <default>/<pod id>. With the
// systemd driver it is the pod's scope.
absl::StatusOr<std::string> PodCgroupPath(CgroupDriver driver,
                                          absl::string_view parent,
                                          absl::string_view pod_id);
// With the systemd driver: the slice of the pod's scope, "kubepods-pod1.slice".
absl::StatusOr<std::string> PodSlice(absl::string_view parent);
// With the systemd driver: the pod's delegated scope, <pod slice>/crisp-<pod id>.scope
// (cgroup_systemd.h). The shim must live in a group of its own below it.
absl::StatusOr<std::string> PodScopePath(absl::string_view parent, absl::string_view pod_id);
// The driver that has made the pod whose group is `path`. It may be another than the present one.
CgroupDriver DriverOfPod(absl::string_view parent, absl::string_view path);
// A container's group (or the pod's pid 1's): <pod group>/<id>, with systemd <pod scope>/<id>.
absl::StatusOr<std::string> ContainerCgroupPath(CgroupDriver driver,
                                                absl::string_view parent,
                                                absl::string_view pod_id,
                                                absl::string_view id);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CGROUP_CGROUP_LAYOUT_H_
