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

// Functions that the cgroup*.cc share. Internal to this room.

// Calls `visit` with `dir` and each directory below it, parents first. An absent `dir` is no call.
// ResourceExhausted beyond 32 levels or 10,000 directories, because a container can nest at will.
absl::Status WalkGroups(const std::string& dir,
                        const std::function<absl::Status(const std::string&)>& visit);

// Makes `path` and its parents below the hierarchy, ready for use: v2 delegates every controller to
// each parent's children, v1 fills empty cpuset files from the parent. Appends the directories that
// it made to `made`.
absl::Status MakeGroup(const CgroupLayout& layout,
                       const CgroupHierarchy& hierarchy,
                       const std::string& path,
                       std::vector<std::string>* made);

// Writes all of them. It retries those that the kernel refuses with EINVAL or EBUSY as long as
// others succeed in between. That finds the right order for limits that bound each other (memory
// and swap, quota, period and burst), whichever way they move. With `undo`, restores the former
// values when it fails. `dir_of` maps a controller to the group's directory ("" if there is none).
absl::Status WriteLimits(const std::vector<CgroupWrite>& writes,
                         const std::function<std::string(const std::string&)>& dir_of,
                         bool undo);

// Says why the kernel did not take a limit of the group `dir`: the file, the value and the cause.
// One cause is a group above with processes of its own, from which v2 hands no controllers down.
// InvalidArgument if another try is in vain. Keeps the errno.
absl::Status LimitRefused(const CgroupWrite& write,
                          const std::string& dir,
                          const absl::Status& status);

// The text to write after `write` to get back to `former`, the file's whole content. "" if nothing
// can be done. Exposed for tests.
std::string UndoValue(const CgroupWrite& write, const std::string& former);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CGROUP_CGROUP_FILES_H_
