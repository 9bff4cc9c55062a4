#ifndef CRISP_RUNTIME_CGROUP_CGROUP_FILES_H_
#define CRISP_RUNTIME_CGROUP_CGROUP_FILES_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/cgroup/cgroup_resources.h"

namespace crisp::runtime {

// What cgroup*.cc share. Internal.

// Calls `visit` with `dir` and each directory below it, parents first. Absent: no call. At most 32
// levels and 10,000 directories are visited (ResourceExhausted): a container can nest at will.
absl::Status WalkGroups(const std::string& dir,
                        const std::function<absl::Status(const std::string&)>& visit);

// mkdir -p of `path` below the hierarchy, readied for use: v2 delegates every controller to each
// parent's children, v1 fills empty cpuset files from the parent. Appends what it made to `made`.
absl::Status MakeGroup(const CgroupLayout& layout,
                       const CgroupHierarchy& hierarchy,
                       const std::string& path,
                       std::vector<std::string>* made);

// Writes all, retrying at the end those that the kernel refuses with EINVAL or EBUSY for as long as
// others succeed in between: that finds the right order for limits that bound each other (memory
// and swap, quota, period and burst) whichever way they move. With `undo`, restores the former
// values when it fails. `dir_of` maps a controller to the group's directory ("" when there is
// none).
absl::Status WriteLimits(const std::vector<CgroupWrite>& writes,
                         const std::function<std::string(const std::string&)>& dir_of,
                         bool undo);

// Why the kernel did not take a limit of the group `dir`: the file, the value and the cause, among
// them a group above with processes of its own, which v2 hands no controllers down from.
// InvalidArgument where to ask again is in vain. Keeps the errno.
absl::Status LimitRefused(const CgroupWrite& write,
                          const std::string& dir,
                          const absl::Status& status);

// What to write to get back to `former`, the file's whole content, after `write`; "" when nothing
// can be done. Exposed for tests.
std::string UndoValue(const CgroupWrite& write, const std::string& former);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CGROUP_CGROUP_FILES_H_
