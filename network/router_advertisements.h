#ifndef CRISP_NETWORK_ROUTER_ADVERTISEMENTS_H_
#define CRISP_NETWORK_ROUTER_ADVERTISEMENTS_H_

#include <string>

#include "absl/status/status.h"

namespace crisp::network {

// Has an interface of a pod's namespace, not up yet, believe no router advertisement: any pod of the
// node could send one and become the router of the others (CVE-2020-10749), whether they have IPv6
// addresses or not. Nothing sends it router solicitations any more either. A pod that has set
// net.ipv6.conf.default.accept_ra to 2 keeps that. OK without IPv6 in the kernel.
//
// netlink has no word for it, so the calling thread enters the namespace for a moment.
absl::Status IgnoreRouterAdvertisements(int netns_fd, const std::string& interface);

}  // namespace crisp::network

#endif  // CRISP_NETWORK_ROUTER_ADVERTISEMENTS_H_
