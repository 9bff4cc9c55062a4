#include "network/link/pod_sysctls.h"

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
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "network/link/links.h"

namespace crisp::network {
namespace {

class NamespaceVisit {
 public:
  NamespaceVisit(int home, int netns_fd)
      : home_(home), inside_(setns(netns_fd, CLONE_NEWNET) == 0) {}
  ~NamespaceVisit() {
    // A thread of the daemon's in some pod's network would be worse than no daemon.
    if (inside_ && setns(home_, CLONE_NEWNET) != 0) abort();
  }
  bool inside() const { return inside_; }

 private:
  const int home_;
  const bool inside_;
};

// As in a shim: the kernel searches the sysctls of all namespaces that were looked up in one
// procfs, so there is another one after every few pods.
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

absl::StatusOr<std::shared_ptr<const UniqueFd>> TakeProc() {
  static Procs procs;
  return procs.Take();
}

// "net.ipv4.conf.eth0/1.x": dots separate and a slash stands for a dot, unless a slash comes first.
absl::StatusOr<std::string> PathOf(absl::string_view name) {
  std::string path(name);
  const size_t first = path.find_first_of("./");
  if (first != std::string::npos && path[first] == '.') {
    for (char& c : path) c = c == '.' ? '/' : (c == '/' ? '.' : c);
  }
  if (absl::StartsWith(path, "net/") && !absl::StrContains(path, "..")) return "sys/" + path;
  return absl::InvalidArgumentError(absl::StrCat("sysctl ", name, ": is none of a network"));
}

absl::Status SetOne(int proc, const std::string& name, const std::string& value) {
  CRISP_ASSIGN_OR_RETURN(const std::string path, PathOf(name));
  const auto refuse = [&name](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("sysctl ", name, ": ", why));
  };
  const absl::StatusOr<UniqueFd> file = OpenAt(proc, path, O_WRONLY);
  if (absl::IsNotFound(file.status())) return refuse("the kernel has none of that name");
  if (!file.ok()) return Annotate(file.status(), absl::StrCat("sysctl ", name));
  const ssize_t written = write(file->get(), value.data(), value.size());
  if (written < 0 && errno == EINVAL) return refuse("the kernel does not take the value");
  if (written < 0) return ErrnoError(errno, absl::StrCat("set sysctl ", name));
  // Kernels differ in whether they refuse what follows a value or leave it unread.
  return static_cast<size_t>(written) == value.size()
             ? absl::OkStatus()
             : refuse("the value has more than the kernel reads");
}

}  // namespace

absl::Status IgnoreRouterAdvertisements(int netns_fd, const std::string& interface) {
  if (!KernelHasIpv6()) return absl::OkStatus();
  CRISP_ASSIGN_OR_RETURN(const std::shared_ptr<const UniqueFd> proc, TakeProc());
  CRISP_ASSIGN_OR_RETURN(const UniqueFd home, Open("/proc/thread-self/ns/net", O_RDONLY));
  const NamespaceVisit visit(home.get(), netns_fd);
  if (!visit.inside()) return ErrnoError(errno, "enter the pod's network namespace");
  const std::string path = absl::StrCat("sys/net/ipv6/conf/", interface, "/accept_ra");
  CRISP_ASSIGN_OR_RETURN(const std::string now, ReadFileAt(proc->get(), path));
  return absl::StripAsciiWhitespace(now) == "1" ? WriteKernelFileAt(proc->get(), path, "0")
                                                : absl::OkStatus();
}

absl::Status SetSysctls(int netns_fd, const Sysctls& sysctls) {
  if (sysctls.empty()) return absl::OkStatus();
  CRISP_ASSIGN_OR_RETURN(const std::shared_ptr<const UniqueFd> proc, TakeProc());
  CRISP_ASSIGN_OR_RETURN(const UniqueFd home, Open("/proc/thread-self/ns/net", O_RDONLY));
  const NamespaceVisit visit(home.get(), netns_fd);
  if (!visit.inside()) return ErrnoError(errno, "enter the pod's network namespace");
  for (const auto& [name, value] : sysctls) {
    CRISP_RETURN_IF_ERROR(SetOne(proc->get(), name, value));
  }
  return absl::OkStatus();
}

}  // namespace crisp::network
