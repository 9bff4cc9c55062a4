#ifndef CRISP_NETWORK_BRIDGE_CONNTRACK_H_
#define CRISP_NETWORK_BRIDGE_CONNTRACK_H_

#include <vector>

#include "absl/status/status.h"
#include "network/bridge/firewall.h"

namespace crisp::network {

// Makes the kernel forget the UDP flows to the host ports of `changed` that no longer lead where
// `current` (what is published now) says. These are flows to a pod that has lost the port and,
// where a pod has the port, flows to the host itself. As long as the client keeps sending, the
// kernel would never look up such a flow in the host port maps again. Flows to the pods of
// `current` stay, answered or not: without its flow an answer that is under way would not find its
// client. The function walks the connection table, so it is not on the path of a request. It acts
// on the calling thread's namespace. A kernel without the operation gives an error and changes
// nothing.
absl::Status ForgetUdpFlows(const std::vector<PortTarget>& changed,
                            const std::vector<PortTarget>& current);

}  // namespace crisp::network

#endif  // CRISP_NETWORK_BRIDGE_CONNTRACK_H_
