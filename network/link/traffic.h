#ifndef CRISP_NETWORK_LINK_TRAFFIC_H_
#define CRISP_NETWORK_LINK_TRAFFIC_H_

#include <string>

#include "absl/status/status.h"
#include "network/values/bandwidth.h"

namespace crisp::network {

// Limits a pod's bandwidth at the host end of its veth, where the pod cannot change it. Towards the
// pod: a token bucket on the host end. From the pod: what arrives at the host end is redirected to
// `ifb_name`, an IFB device of its own with a token bucket. On failure the device may be left; the
// qdiscs go with the veth, the IFB device is the caller's to delete.
absl::Status LimitBandwidth(int fd,
                            const std::string& host_veth,
                            const std::string& ifb_name,
                            const Bandwidth& bandwidth);

}  // namespace crisp::network

#endif  // CRISP_NETWORK_LINK_TRAFFIC_H_
