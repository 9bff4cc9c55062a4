#ifndef CRISP_NETWORK_BRIDGE_BRIDGE_CLAIM_H_
#define CRISP_NETWORK_BRIDGE_BRIDGE_CLAIM_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace crisp::network {

// The claim of one instance on its bridge's name. Two instances with one name would hand out the
// same addresses, and the end of one would remove the other's bridge. A lock tells of an instance
// that lives: the kernel releases it when the process ends in whatever way. The bridge's alias
// tells of one whose daemon is down while its pods live.
class BridgeClaim {
 public:
  // FailedPrecondition while another process of this network namespace has the name's claim.
  static absl::StatusOr<BridgeClaim> Take(const std::string& bridge);
  // Removes its trace. The claim stays until this object ends.
  void Remove();

 private:
  BridgeClaim(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  UniqueFd lock_;  // invalid where no folder for locks exists
};

// The alias with which an instance marks its bridge.
std::string BridgeAlias(const std::string& state);
// FailedPrecondition when the alias names another instance whose records are still there.
absl::Status CheckBridgeAlias(const std::string& bridge,
                              const std::string& alias,
                              const std::string& state);

}  // namespace crisp::network

#endif  // CRISP_NETWORK_BRIDGE_BRIDGE_CLAIM_H_
