#ifndef CRISP_NETWORK_BRIDGE_CONNTRACK_H_
#define CRISP_NETWORK_BRIDGE_CONNTRACK_H_

#include <vector>

#include "absl/status/status.h"
#include "network/bridge/firewall.h"

namespace crisp::network {

// Makes the kernel forget the UDP flows to the host ports of `changed` that no longer lead where
// `current` (what is published now) says: those to a pod that has lost the port, and, where a pod
// has it, those to the host itself. As long as the client keeps sending, such a flow would never be
// looked up in the host port maps again. Flows to the pods of `current` stay, answered or not:
// without its flow an answer that is under way would not find its client. Walks the connection
// table, so not on the path of a request. Acts on the calling thread's namespace. Unimplemented
// kernels give an error and change nothing.
absl::Status ForgetUdpFlows(const std::vector<PortTarget>& changed,
                            const std::vector<PortTarget>& current);

}  // namespace crisp::network

#endif  // CRISP_NETWORK_BRIDGE_CONNTRACK_H_
