#ifndef CRISP_NETWORK_BRIDGE_BRIDGE_CLAIM_H_
#define CRISP_NETWORK_BRIDGE_BRIDGE_CLAIM_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace crisp::network {

// Whose a bridge is. Two instances with one bridge name would hand out the same addresses, and the
// end of one would take the other's bridge away. Of living ones the lock tells, held until the
// process ends in whatever way; of one whose daemon is down while its pods live, the bridge's
// alias.
class BridgeClaim {
 public:
  // FailedPrecondition while another process of this network namespace has the name's claim.
  static absl::StatusOr<BridgeClaim> Take(const std::string& bridge);
  // Removes its trace. The claim stays until this object ends.
  void Remove();

 private:
  BridgeClaim(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  UniqueFd lock_;  // invalid where there is no place for locks
};

// What the alias of the bridge says of an instance.
std::string BridgeAlias(const std::string& state);
// FailedPrecondition when it names another instance, and that one's records are still there.
absl::Status CheckBridgeAlias(const std::string& bridge,
                              const std::string& alias,
                              const std::string& state);

}  // namespace crisp::network

#endif  // CRISP_NETWORK_BRIDGE_BRIDGE_CLAIM_H_
