#ifndef CRISP_RUNTIME_CGROUP_CGROUP_RESOURCES_H_
#define CRISP_RUNTIME_CGROUP_CGROUP_RESOURCES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/cgroup/cgroup_write.h"
#include "runtime/oci/oci_spec.h"

namespace crisp::runtime {

// True if the text is a size as the hugetlb controller names them: "2MB", "1GB", "64KB".
bool IsHugePageSize(absl::string_view text);

// Limits → writes to files. Pure.

// The writes for the members that `resources` sets, in an order that suits a fresh group. On v2
// device rules are not among them (cgroup_devices.h). InvalidArgument for values that no kernel
// takes, and for `unified` on v1.
absl::StatusOr<std::vector<CgroupWrite>> CgroupWrites(const OciResources& resources, bool v2);
// True if a new group has that value.
bool IsInitialValue(const CgroupWrite& write);

// CFS shares (2…262144) → v2 weight (1…10000), so that the least, the usual (1024 → 100) and the
// greatest meet, as the other runtimes and the kubelet's own groups have it: the logarithm of the
// weight is quadratic in that of the shares.
uint64_t SharesToWeight(uint64_t shares);
// blkio weight (10…1000) → io.weight (1…10000).
uint64_t BlkioToIoWeight(uint64_t weight);

// `base` with every member that `change` sets put in its place; unified is merged by key and
// hugepage limits by size. Device rules stay base's.
OciResources MergeResources(const OciResources& base, const OciResources& change);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CGROUP_CGROUP_RESOURCES_H_
