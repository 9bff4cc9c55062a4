#ifndef CRISP_RUNTIME_CGROUP_CGROUP_DEVICES_H_
#define CRISP_RUNTIME_CGROUP_CGROUP_DEVICES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/cgroup/cgroup_write.h"
#include "runtime/oci/oci_spec.h"

namespace crisp::runtime {

// Device access rules, as both cgroup versions want them.

// v1: devices.deny / devices.allow in order.
absl::StatusOr<std::vector<CgroupWrite>> DeviceWritesV1(const std::vector<OciDeviceRule>& rules);

// v2: a BPF_PROG_TYPE_CGROUP_DEVICE program of 8-byte struct bpf_insn. The last matching rule
// decides each access bit, as on v1. Access that no rule names is denied.
absl::StatusOr<std::vector<uint64_t>> DeviceProgramV2(const std::vector<OciDeviceRule>& rules);

// Loads the program and attaches it to the group's directory with BPF_F_ALLOW_MULTI. Then it
// detaches our programs (by name) that were attached before, so there is no moment without rules.
absl::Status AttachDeviceProgram(const std::string& cgroup_dir,
                                 const std::vector<uint64_t>& program);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CGROUP_CGROUP_DEVICES_H_
