#ifndef CRISP_RUNTIME_OCI_CAPABILITIES_H_
#define CRISP_RUNTIME_OCI_CAPABILITIES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace crisp::runtime {

// Capability sets as masks (bit = capability number) and as names. All pure and thread-safe except
// DaemonCapabilities(), which asks the kernel.

// Takes "CAP_CHOWN", "CHOWN" and "chown" alike. InvalidArgument for a name that capabilities(7)
// does not know.
absl::StatusOr<int> ParseCapability(absl::string_view name);
absl::StatusOr<uint64_t> ParseCapabilities(const std::vector<std::string>& names);

// "CAP_CHOWN", …, in the order of their numbers.
std::vector<std::string> CapabilityNames(uint64_t mask);

// The capabilities that this process may hand on (its bounding set): the meaning of "ALL".
uint64_t DaemonCapabilities();

// The 14 that containerd and Docker give to every container.
uint64_t DefaultCapabilities();

// `base` after a container's add and drop lists. "ALL" in either is applied first (add, then drop);
// then the single names are added and then dropped. `available` is the meaning of ALL, and bounds
// the result. Names in `add` that capabilities(7) does not know are left out and appended to
// `unknown`: the runtime-spec says to warn of what cannot be granted and to go on (config.md,
// "capabilities"). An unknown name in `drop` is InvalidArgument, because a misspelt one would leave
// the container a capability that it was to lose.
absl::StatusOr<uint64_t> AdjustCapabilities(uint64_t base,
                                            const std::vector<std::string>& add,
                                            const std::vector<std::string>& drop,
                                            uint64_t available,
                                            std::vector<std::string>& unknown);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_OCI_CAPABILITIES_H_
