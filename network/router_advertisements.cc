#include "network/router_advertisements.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "network/links.h"

namespace crisp::network {
namespace {

class NamespaceVisit {
 public:
  NamespaceVisit(int home, int netns_fd) : home_(home), inside_(setns(netns_fd, CLONE_NEWNET) == 0) {}
  ~NamespaceVisit() {
    // A thread of the daemon's in some pod's network would be worse than no daemon.
    if (inside_ && setns(home_, CLONE_NEWNET) != 0) abort();
  }
  bool inside() const { return inside_; }

 private:
  const int home_;
  const bool inside_;
};

}  // namespace

absl::Status IgnoreRouterAdvertisements(int netns_fd, const std::string& interface) {
  if (!KernelHasIpv6()) return absl::OkStatus();
  CRISP_ASSIGN_OR_RETURN(const UniqueFd home, Open("/proc/thread-self/ns/net", O_RDONLY));
  const NamespaceVisit visit(home.get(), netns_fd);
  if (!visit.inside()) return ErrnoError(errno, "enter the pod's network namespace");
  const std::string path = absl::StrCat("/proc/sys/net/ipv6/conf/", interface, "/accept_ra");
  CRISP_ASSIGN_OR_RETURN(const std::string now, ReadFile(path));
  return absl::StripAsciiWhitespace(now) == "1" ? WriteKernelFile(path, "0") : absl::OkStatus();
}

}  // namespace crisp::network
