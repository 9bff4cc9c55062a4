#ifndef CRISP_RUNTIME_SHIM_POD_H_
#define CRISP_RUNTIME_SHIM_POD_H_

#include "runtime/shim/child.h"
#include "runtime/shim/sys.h"

namespace crisp::shim {

// The shim's own root: a few directories in a mount namespace with nothing else, so that the copy
// from which a container starts is cheap and shows nothing of the host. Nobody can write to it.
constexpr char kSlotRoot[] = "/r";     // a container's root is attached here before the pivot
constexpr char kSlotScratch[] = "/s";  // for a mount that must be attached for a moment
constexpr char kSlotNull[] = "/n";     // a null device of our own
constexpr char kSlotShm[] = "/m";      // the pod's /dev/shm
constexpr char kSlotFiles[] = "/f";    // the pod's own files for /etc
// The pod's masks, a file system of its own to which nobody can write, made of the two that follow:
// a directory with an empty one and a null device in it, and an empty one.
constexpr char kSlotMasks[] = "/k";
constexpr char kMaskSource[] = "/x";
constexpr char kMaskEmpty[] = "/x/e";
constexpr char kMaskNull[] = "/x/n";
constexpr char kNoSource[] = "/o";

// The things that a shim holds for its pod; one per process.
struct Pod {
  const char* id = "";
  const char* storage_root = "";  // with no '/' at the end
  Fd host_mnt;  // the mount namespace of the host: sources and cgroups are looked up there
  Fd own_mnt;   // the minimal one, home between requests
  // One mount namespace for all: an empty root to which nobody can write. A container gets a copy
  // of it, and its root is mounted over that one. To pivot into a root and unmount the former would
  // make the kernel look at every process and wait for every CPU.
  Fd blank;
  Fd own_pid;  // the shim's own
  Fd host_net, host_ipc, host_uts;
  Fd proc;     // for sysctls, until they are set
  Fd pod_net;  // -1 if the pod uses the host's
  // Mounts of a spare's namespaces, attached nowhere, for the first container, whose child takes
  // them along. The kernel looks for each among those of all namespaces. -1 if a container has to
  // mount one itself.
  Fd sysfs, mqueue;
  bool spare = false;                     // MakeSpare() has set it up
  PodView usual;                          // the plan that it has carried out
  Fd userns;                              // -1: none
  uint32_t root_uid = 0, root_gid = 0;    // the containers' root on the host
  uint32_t uid_count = 0, gid_count = 0;  // the number of their ids from there on
  Fd pod_pid;                             // the shared PID namespace; -1 for none
  Process pod_init;                       // pid 1 there
  Fd idmapped_storage;  // detached clone of storage_root seen through the user namespace
  Fd state_dir;
  Fd null;
  uint64_t original_nofile[2] = {0, 0};
  bool has_userns() const { return userns.valid(); }
};
extern Pod g_pod;

// Visits the host's mount namespace while in scope: paths are the host's, "/" is its root. A scope
// inside another costs nothing.
class HostScope {
 public:
  HostScope();
  ~HostScope();
  bool entered() const { return inside_; }
  // Leaving may fail, because the kernel needs memory for it, and is tried again here. False, with
  // errno, if this process is still among the host's mounts, from where no container may start.
  static bool ReturnHome();

 private:
  static bool inside_;
  static bool astray_;  // not inside any scope, and not back
  const bool outermost_;
};

// A descriptor of a process' namespace, by its name in /proc; -1 and g_error.
int OpenNamespace(pid_t pid, const char* name);

// Sends bytes and one descriptor (-1 for none) over a unix socket.
bool SendFd(int socket, const void* data, size_t size, int fd);
// Receives them. Returns the number of bytes, or -1. *fd is -1 if there is none.
ssize_t ReceiveFd(int socket, void* data, size_t size, int* fd);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_POD_H_
