#ifndef CRISP_RUNTIME_SHIM_POD_H_
#define CRISP_RUNTIME_SHIM_POD_H_

#include "runtime/shim/child.h"
#include "runtime/shim/sys.h"

namespace crisp::shim {

// The shim's own root: a few directories in a mount namespace with nothing else, so that the copy a
// container starts from is cheap and shows nothing of the host. Nobody can write to it.
constexpr char kSlotRoot[] = "/r";     // where a container's root is attached before the pivot
constexpr char kSlotScratch[] = "/s";  // for a mount that must be attached for a moment
constexpr char kSlotNull[] = "/n";     // a null device of our own
constexpr char kSlotShm[] = "/m";      // the pod's /dev/shm
constexpr char kSlotFiles[] = "/f";    // the pod's own files for /etc
// The pod's masks, a file system of its own that nobody can write to, made of the two that follow:
// a directory with an empty one and a null device in it, and an empty one.
constexpr char kSlotMasks[] = "/k";
constexpr char kMaskSource[] = "/x";
constexpr char kMaskEmpty[] = "/x/e";
constexpr char kMaskNull[] = "/x/n";
constexpr char kNoSource[] = "/o";

// What a shim holds for its pod; one per process.
struct Pod {
  const char* id = "";
  const char* storage_root = "";  // with no '/' at the end
  Fd host_mnt;  // the mount namespace of the host: sources and cgroups are looked up there
  Fd own_mnt;   // the minimal one, home between requests
  // One mount namespace for all: an empty root that nobody can write to. A container's is a copy of
  // it, and its root is mounted over that one: to pivot into a root and to unmount the former has
  // the kernel look at every process and wait for every CPU.
  Fd blank;
  Fd own_pid;  // where the shim itself lives
  Fd host_net, host_ipc, host_uts;
  Fd proc;     // where sysctls are set, until they are
  Fd pod_net;  // -1 when the pod uses the host's
  // Mounts of a spare's namespaces, attached nowhere: the first container's, whose child takes them
  // along. The kernel looks for each among those of all namespaces. -1: whoever wants one mounts
  // it.
  Fd sysfs, mqueue;
  bool spare = false;                     // MakeSpare() has been here
  PodView usual;                          // what it has done
  Fd userns;                              // -1: none
  uint32_t root_uid = 0, root_gid = 0;    // what the containers' root is on the host
  uint32_t uid_count = 0, gid_count = 0;  // how many ids from there on are theirs
  Fd pod_pid;                             // the shared PID namespace; -1: none
  Process pod_init;                       // pid 1 there
  Fd idmapped_storage;  // detached clone of storage_root seen through the user namespace
  Fd state_dir;
  Fd null;
  uint64_t original_nofile[2] = {0, 0};
  bool has_userns() const { return userns.valid(); }
};
extern Pod g_pod;

// Visits the host's mount namespace while in scope: paths are the host's, "/" is its root. One
// inside another costs nothing.
class HostScope {
 public:
  HostScope();
  ~HostScope();
  bool entered() const { return inside_; }
  // Leaving may fail (the kernel needs memory for it), and is tried again here: false and errno
  // when this process is still among the host's mounts, from where no container may start.
  static bool ReturnHome();

 private:
  static bool inside_;
  static bool astray_;  // not inside any scope, and not back
  const bool outermost_;
};

// A descriptor of a process' namespace, by its name in /proc; -1 and g_error.
int OpenNamespace(pid_t pid, const char* name);

// Sends bytes and one descriptor (-1: none) over a unix socket.
bool SendFd(int socket, const void* data, size_t size, int fd);
// Receives them; the number of bytes or -1. *fd is -1 when there is none.
ssize_t ReceiveFd(int socket, void* data, size_t size, int* fd);

}  // namespace crisp::shim

#endif  // CRISP_RUNTIME_SHIM_POD_H_
