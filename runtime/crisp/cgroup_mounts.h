#ifndef CRISP_RUNTIME_CRISP_CGROUP_MOUNTS_H_
#define CRISP_RUNTIME_CRISP_CGROUP_MOUNTS_H_

#include <string>
#include <vector>

#include "runtime/cgroup/cgroup.h"
#include "runtime/plan/launch_plan.h"

namespace crisp::runtime {

// The mounts that show a container its own group at `destination` ("/sys/fs/cgroup"). On v1 that is
// a tmpfs with the container's group of each hierarchy bound where the host has the hierarchy, and
// links for controllers that share one, so that limits are readable where programs look for them.
// With `whole`, on v2, it is the host's whole tree, for a container without a cgroup namespace:
// /proc/self/cgroup names a path in that tree there.
std::vector<MountPlan> CgroupMounts(const Cgroup& group,
                                    const std::string& destination,
                                    bool read_only,
                                    bool whole = false);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CRISP_CGROUP_MOUNTS_H_
