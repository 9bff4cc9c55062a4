#include "cli/doctor/doctor_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/operation.h"
#include "base/pipe.h"
#include "base/status.h"
#include "base/thread.h"
#include "network/bridge/firewall.h"
#include "network/link/links.h"
#include "network/link/netlink.h"
#include "runtime/cgroup/cgroup_systemd.h"

namespace crisp::cli {
namespace {

constexpr char kBridge[] = "crisp-doctor0";

Probe Tried(const absl::Status& status) {
  return {.tried = true, .error = status.ok() ? "" : std::string(status.message())};
}

absl::Status TryVeth(int rtnl) {
  CRISP_ASSIGN_OR_RETURN(const UniqueFd self,
                         Open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  CRISP_ASSIGN_OR_RETURN(const network::Link bridge, network::GetLink(rtnl, kBridge));
  return network::CreateVeth(rtnl, {.host_name = "crisp-doctor1",
                                    .bridge_index = bridge.index,
                                    .mtu = 1500,
                                    .pod_netns_fd = self.get(),
                                    .pod_interface = "crisp-doctor2",
                                    .pod_mac = {2, 0, 0, 0, 0, 2}});
}

absl::Status TryNftables() {
  CRISP_ASSIGN_OR_RETURN(const auto firewall, network::Firewall::Create());
  return firewall->Run(network::ReplaceTableCommands({.bridge = kBridge}));
}

// On a thread whose network namespace is its own.
void TryAll(KernelFacts& kernel) {
  if (unshare(CLONE_NEWNET) != 0) {
    kernel.bridge = Tried(ErrnoError(errno, "make a network namespace"));
    return;
  }
  auto rtnl = network::OpenRtnl();
  if (!rtnl.ok()) {
    kernel.bridge = Tried(rtnl.status());
    return;
  }
  kernel.bridge = Tried(network::CreateBridge(rtnl->get(), kBridge, {2, 0, 0, 0, 0, 1}, 1500));
  if (kernel.bridge.error.empty()) kernel.veth = Tried(TryVeth(rtnl->get()));
  kernel.nftables = Tried(TryNftables());
}

// A child in a user namespace of its own that maps 0 to 100000; ended by the destructor.
class MappedChild {
 public:
  static absl::StatusOr<UniqueFd> Namespace() {
    CRISP_ASSIGN_OR_RETURN(const Pipe ready, MakePipe("a pipe"));
    const pid_t child = fork();
    if (child < 0) return ErrnoError(errno, "fork");
    if (child == 0) {
      const int failed = unshare(CLONE_NEWUSER) == 0 ? 0 : errno;
      if (write(ready.write_end.get(), &failed, sizeof(failed)) < 0) _exit(1);
      pause();
      _exit(0);
    }
    absl::StatusOr<UniqueFd> opened = Open(child, ready.read_end.get());
    (void)kill(child, SIGKILL);
    (void)waitpid(child, nullptr, 0);
    return opened;
  }

 private:
  static absl::StatusOr<UniqueFd> Open(pid_t child, int ready) {
    int failed = 0;
    if (read(ready, &failed, sizeof(failed)) != sizeof(failed)) {
      return absl::InternalError("the child for a user namespace ended");
    }
    if (failed != 0) return ErrnoError(failed, "make a user namespace");
    const std::string directory = absl::StrCat("/proc/", child);
    for (const char* map : {"/uid_map", "/gid_map"}) {
      CRISP_RETURN_IF_ERROR(WriteKernelFile(directory + map, "0 100000 65536"));
    }
    return crisp::Open(directory + "/ns/user", O_RDONLY | O_CLOEXEC);
  }
};

absl::Status TryIdmap(const std::string& path) {
  CRISP_ASSIGN_OR_RETURN(const UniqueFd user_namespace, MappedChild::Namespace());
  const UniqueFd tree(static_cast<int>(
      syscall(SYS_open_tree, AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
  if (!tree) return ErrnoError(errno, absl::StrCat("copy the mount of ", path));
  struct mount_attr attributes {};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<uint64_t>(user_namespace.get());
  if (syscall(SYS_mount_setattr, tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) !=
      0) {
    return ErrnoError(errno, absl::StrCat("map the ids of ", path));
  }
  return absl::OkStatus();
}

}  // namespace

// Each call gets arguments that it must refuse; only a missing one answers ENOSYS.
std::vector<std::string> MissingSystemCalls() {
  const std::pair<const char*, long> kCalls[] = {{"clone3", SYS_clone3},
                                                 {"close_range", SYS_close_range},
                                                 {"fsconfig", SYS_fsconfig},
                                                 {"fsmount", SYS_fsmount},
                                                 {"fsopen", SYS_fsopen},
                                                 {"mount_setattr", SYS_mount_setattr},
                                                 {"move_mount", SYS_move_mount},
                                                 {"open_tree", SYS_open_tree},
                                                 {"openat2", SYS_openat2},
                                                 {"pidfd_open", SYS_pidfd_open},
                                                 {"pidfd_send_signal", SYS_pidfd_send_signal}};
  std::vector<std::string> missing;
  for (const auto& [name, number] : kCalls) {
    // close_range(-1, -1, -1): unknown flags.
    if (syscall(number, -1, -1, -1, -1, -1, -1) < 0 && errno == ENOSYS) missing.push_back(name);
  }
  return missing;
}

void ProbeNetwork(KernelFacts& kernel) {
  absl::StatusOr<Thread> trying = Thread::Start("probe", [&kernel] { TryAll(kernel); });
  if (!trying.ok()) kernel.bridge = kernel.veth = kernel.nftables = Tried(trying.status());
}

Probe ProbeSystemd() {
  return Tried(runtime::AskSystemd(Operation(absl::Now() + absl::Seconds(5))));
}

Probe ProbeIdmap(const std::string& path) { return Tried(TryIdmap(path)); }

}  // namespace crisp::cli
