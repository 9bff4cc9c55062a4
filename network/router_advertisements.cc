#include "network/router_advertisements.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"
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

// As in a shim: the kernel searches the sysctls of all namespaces that were looked up in one procfs, so
// there is another one after every few pods.
class Procs {
 public:
  // Stays valid as long as somebody has it.
  absl::StatusOr<std::shared_ptr<const UniqueFd>> Take() {
    absl::MutexLock lock(&mutex_);
    if (left_ == 0) {
      CRISP_ASSIGN_OR_RETURN(UniqueFd fresh, Make());
      proc_ = std::make_shared<const UniqueFd>(std::move(fresh));
      left_ = kPods;
    }
    --left_;
    return proc_;
  }

 private:
  static constexpr int kPods = 32;

  static absl::StatusOr<UniqueFd> Make() {
    const UniqueFd fs(fsopen("proc", FSOPEN_CLOEXEC));
    if (fs && fsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0) {
      UniqueFd mount(fsmount(fs.get(), FSMOUNT_CLOEXEC,
                             MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
      if (mount) return mount;
    }
    return Open("/proc", O_PATH | O_DIRECTORY);  // slower with many pods, that is all
  }

  absl::Mutex mutex_;
  int left_ ABSL_GUARDED_BY(mutex_) = 0;
  std::shared_ptr<const UniqueFd> proc_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::Status IgnoreRouterAdvertisements(int netns_fd, const std::string& interface) {
  if (!KernelHasIpv6()) return absl::OkStatus();
  static Procs procs;
  CRISP_ASSIGN_OR_RETURN(const std::shared_ptr<const UniqueFd> proc, procs.Take());
  CRISP_ASSIGN_OR_RETURN(const UniqueFd home, Open("/proc/thread-self/ns/net", O_RDONLY));
  const NamespaceVisit visit(home.get(), netns_fd);
  if (!visit.inside()) return ErrnoError(errno, "enter the pod's network namespace");
  const std::string path = absl::StrCat("sys/net/ipv6/conf/", interface, "/accept_ra");
  CRISP_ASSIGN_OR_RETURN(const std::string now, ReadFileAt(proc->get(), path));
  return absl::StripAsciiWhitespace(now) == "1" ? WriteKernelFileAt(proc->get(), path, "0")
                                                : absl::OkStatus();
}

}  // namespace crisp::network
