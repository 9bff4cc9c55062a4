#ifndef CRISP_RUNTIME_DEVICES_BLOCKIO_CLASSES_H_
#define CRISP_RUNTIME_DEVICES_BLOCKIO_CLASSES_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/oci/oci_spec.h"
#include "runtime/paths/path_wire.h"

namespace crisp::runtime {

// Named classes of block IO limits, in the file format that containerd and CRI-O read
// (blockio_config_file):
//
//   Classes:
//     slow:
//     - Weight: 50                      # 10 to 1000, of the whole container
//     - Devices: [/dev/sd*, /dev/vda]   # patterns of glob(7)
//       ThrottleReadBps: 60M            # also Ki, k, Mi, Gi, G, T, …
//       ThrottleWriteBps: 40M
//       ThrottleReadIOPS: 1000
//       ThrottleWriteIOPS: 500
//       Weight: 100                     # of these devices
struct BlockIoRule {
  std::vector<std::string> devices;  // empty if the weight is the container's
  std::optional<uint16_t> weight;
  std::optional<uint64_t> read_bps, write_bps, read_iops, write_iops;
  bool operator==(const BlockIoRule&) const = default;
};
using BlockIoClasses = std::map<std::string, std::vector<BlockIoRule>>;

// InvalidArgument naming the member. Names of members may be in any case.
absl::StatusOr<BlockIoClasses> ParseBlockIoClasses(absl::string_view text);

// Finds the block devices that a pattern names.
using FindBlockDevices = std::function<std::vector<DeviceNumber>(const std::string& pattern)>;

// The class as OCI limits. A later rule for the same device wins. FailedPrecondition for a device
// that is named without a pattern and does not exist. Pure but for `find`.
absl::StatusOr<OciBlockIo> ResolveBlockIo(const std::vector<BlockIoRule>& rules,
                                          const FindBlockDevices& find);

// The class that a container's and its pod's annotations choose; "" when none does.
//   io.kubernetes.cri.blockio-class                          of the container
//   blockio.resources.beta.kubernetes.io/container.<NAME>    of the pod
//   blockio.resources.beta.kubernetes.io/pod                 of the pod
std::string SelectBlockIoClass(const std::string& container_name,
                               const std::map<std::string, std::string>& container_annotations,
                               const std::map<std::string, std::string>& pod_annotations);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_DEVICES_BLOCKIO_CLASSES_H_
