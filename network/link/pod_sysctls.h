#ifndef CRISP_NETWORK_LINK_POD_SYSCTLS_H_
#define CRISP_NETWORK_LINK_POD_SYSCTLS_H_

#include <string>

#include "absl/status/status.h"
#include "network/values/attach.h"

namespace crisp::network {

// netlink has no message for either, so the calling thread enters the namespace for a moment.

// Makes an interface of a pod's namespace, which is not up yet, ignore router advertisements. Any
// pod of the node could send one and become the router of the others (CVE-2020-10749), whether they
// have IPv6 addresses or not. The interface sends no router solicitations either. OK without IPv6
// in the kernel.
absl::Status IgnoreRouterAdvertisements(int netns_fd, const std::string& interface);

// Sets them in the order given, up to the first failure, which names the sysctl. InvalidArgument
// for a name that does not belong to a network namespace or that the kernel does not have, and for
// a value that it refuses.
absl::Status SetSysctls(int netns_fd, const Sysctls& sysctls);

}  // namespace crisp::network

#endif  // CRISP_NETWORK_LINK_POD_SYSCTLS_H_
