#ifndef CRISP_RUNTIME_PLAN_PLAN_PROCESS_H_
#define CRISP_RUNTIME_PLAN_PLAN_PROCESS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/oci/oci_spec.h"
#include "runtime/plan/launch_plan.h"

namespace crisp::runtime {

// The process section of a spec → ProcessPlan, without its seccomp filter. Capabilities outside
// `available` are left out. So are ambient ones that are not permitted and inheritable, because the
// kernel would refuse them.
absl::StatusOr<ProcessPlan> BuildProcessPlan(const OciProcess& process, uint64_t available);

// InvalidArgument unless it names a program and fits into C strings.
absl::Status CheckArgv(const std::vector<std::string>& argv);

// RLIMIT_* number of "RLIMIT_NOFILE". InvalidArgument for other names.
absl::StatusOr<int> ParseRlimit(const std::string& type);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_PLAN_PLAN_PROCESS_H_
