#ifndef CRISP_NETWORK_BRIDGE_PORT_HOLDS_H_
#define CRISP_NETWORK_BRIDGE_PORT_HOLDS_H_

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "base/unique_fd.h"
#include "network/bridge/firewall.h"

namespace crisp::network {

// Sockets that are bound to the host ports of pods and receive nothing, because the rules send the
// packets to the pod. With them no pod gets a port that a process of the node has, the daemon
// itself included, and no process gets a port that a pod has. They belong to the network namespace
// of the calling thread. Not thread-safe.
class PortHolds {
 public:
  // All or nothing. AlreadyExists, naming the port, when a process has one of them.
  absl::Status Hold(const std::string& pod_id, const std::vector<PortTarget>& targets);
  // Holds as many of them as are free. For a pod that has had its ports since an earlier life of
  // the daemon.
  void HoldAgain(const std::string& pod_id, const std::vector<PortTarget>& targets);
  // Hands the sockets over to a caller that keeps them open as long as the pod lives.
  std::vector<UniqueFd> Take(const std::string& pod_id);
  void Release(const std::string& pod_id) { holds_.erase(pod_id); }

 private:
  absl::flat_hash_map<std::string, std::vector<UniqueFd>> holds_;  // by pod id
};

}  // namespace crisp::network

#endif  // CRISP_NETWORK_BRIDGE_PORT_HOLDS_H_
