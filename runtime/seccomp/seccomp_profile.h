#ifndef CRISP_RUNTIME_SECCOMP_SECCOMP_PROFILE_H_
#define CRISP_RUNTIME_SECCOMP_SECCOMP_PROFILE_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/oci/oci_spec.h"

namespace crisp::runtime {

// The values with which a profile's conditions are compared.
struct SeccompTarget {
  uint64_t capabilities = 0;            // the container's bounding set
  std::string architecture;             // Go's name: "amd64", "arm64"; SeccompHost() fills it
  std::pair<int, int> kernel = {0, 0};  // major, minor
  // This machine's architecture and kernel.
  static SeccompTarget Host(uint64_t capabilities);
};

// Parses a profile file, in the OCI form or in Docker's (archMap, includes/excludes with caps,
// arches and minKernel, comments), and resolves its conditions. A default action of SCMP_ACT_ERRNO
// without a number means EPERM. InvalidArgument, naming the member, for anything malformed, an
// unknown action, operator, architecture or flag, or an argument index above 5. SCMP_ACT_NOTIFY in
// a rule that applies is Unimplemented. A listenerPath without such a rule is ignored.
absl::StatusOr<OciSeccomp> ParseSeccompProfile(absl::string_view json, const SeccompTarget& target);

// RuntimeDefault for a container with these capabilities. It allows and denies what containerd's
// default profile does, with one exception: for socket(2) it looks only at the 32 bits of the
// address family that the kernel uses, so higher bits do not open AF_ALG and AF_VSOCK.
OciSeccomp DefaultSeccompProfile(const SeccompTarget& target);
// The same for this machine, made once for each set of capabilities. Thread-safe.
Shared<OciSeccomp> HostDefaultSeccomp(uint64_t capabilities);

// Checks names and ranges of an already typed profile. ParseSeccompProfile() applies it.
absl::Status ValidateSeccomp(const OciSeccomp& profile);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_SECCOMP_SECCOMP_PROFILE_H_
