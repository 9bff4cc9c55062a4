#ifndef CRISP_CRI_SPEC_OPERATOR_ASKS_H_
#define CRISP_CRI_SPEC_OPERATOR_ASKS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cri/api/api.pb.h"
#include "cri/api/crisp_state.pb.h"
#include "runtime/oci/oci_spec.h"

namespace crisp::cri {

namespace v1 = ::runtime::v1;

// What the annotations of operator_annotations.h ask for, as values. Everything here is pure. An
// error is InvalidArgument and names the annotation.

struct PodAsks {
  bool remove_on_exit = false;
  bool no_network = false;
  std::optional<uint64_t> shm_bytes;
  bool operator==(const PodAsks&) const = default;
};

// A tmpfs of more than that is a mistake.
inline constexpr uint64_t kMostShmBytes = uint64_t{1} << 50;

// For a pod that is to be made over the operator's socket.
absl::StatusOr<PodAsks> ParsePodAsks(const v1::PodSandboxConfig& config);
// For one that was made. Of a pod that is not the operator's: nothing.
PodAsks AsksOf(const state::PodRecord& record);

// One limit of a device, by its path on the node.
struct DeviceRate {
  std::string path;
  uint64_t rate = 0;  // bytes or operations a second
  bool operator==(const DeviceRate&) const = default;
};
inline constexpr size_t kMostDeviceRates = 64;  // of one annotation

struct ContainerAsks {
  std::vector<runtime::OciRlimit> ulimits;
  std::vector<DeviceRate> read_bps, write_bps, read_iops, write_iops;
};
absl::StatusOr<ContainerAsks> ParseContainerAsks(const v1::ContainerConfig& config);

// The kernel's number, RLIMIT_*, of a limit that ParseContainerAsks() gives.
int RlimitNumber(absl::string_view oci_type);
// InvalidArgument for a limit above the hard one of the daemon, which `hard_limit_of` says by the
// kernel's number.
absl::Status CheckHardLimits(const std::vector<runtime::OciRlimit>& limits,
                             uint64_t (*hard_limit_of)(int resource));

}  // namespace crisp::cri

#endif  // CRISP_CRI_SPEC_OPERATOR_ASKS_H_
