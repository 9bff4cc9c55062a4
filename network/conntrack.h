#ifndef CRISP_NETWORK_CONNTRACK_H_
#define CRISP_NETWORK_CONNTRACK_H_

#include <vector>

#include "absl/status/status.h"
#include "network/firewall.h"

namespace crisp::network {

// Makes the kernel forget the UDP flows to these host ports that lead nowhere: those that were sent
// to the pod, and those that nobody has answered. As long as the client keeps sending, such a flow
// would never be looked up in the host port maps again. Walks the connection table, so not on the
// path of a request. Unimplemented kernels give an error and change nothing.
absl::Status ForgetUdpFlows(const std::vector<PortTarget>& targets);

}  // namespace crisp::network

#endif  // CRISP_NETWORK_CONNTRACK_H_
