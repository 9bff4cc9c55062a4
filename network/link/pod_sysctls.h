#ifndef CRISP_NETWORK_LINK_POD_SYSCTLS_H_
#define CRISP_NETWORK_LINK_POD_SYSCTLS_H_

#include <string>

#include "absl/status/status.h"
#include "network/values/attach.h"

namespace crisp::network {

// netlink has no word for either, so the calling thread enters the namespace for a moment.

// Has an interface of a pod's namespace, not up yet, believe no router advertisement: any pod of
// the node could send one and become the router of the others (CVE-2020-10749), whether they have
// IPv6 addresses or not. Nothing sends it router solicitations any more either. OK without IPv6 in
// the kernel.
absl::Status IgnoreRouterAdvertisements(int netns_fd, const std::string& interface);

// In the order given; the first failure ends it and names the sysctl. InvalidArgument for a name
// that is none of a network namespace, that the kernel does not have, or a value that it does not
// take.
absl::Status SetSysctls(int netns_fd, const Sysctls& sysctls);

}  // namespace crisp::network

#endif  // CRISP_NETWORK_LINK_POD_SYSCTLS_H_
