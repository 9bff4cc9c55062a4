#include "runtime/shim/pod_setup.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include "runtime/shim/log_stream.h"
#include "runtime/shim/loop.h"
#include "runtime/shim/mounts.h"
#include "runtime/shim/pod.h"
#include "runtime/shim/pod_init.h"
#include "runtime/shim/userns.h"

namespace crisp::shim {
namespace {

bool StartsWith(const char* s, const char* prefix) {
  return strncmp(s, prefix, strlen(prefix)) == 0;
}

// Of the ids from the containers' root on: what they are on the host, and how many.
void FindRoot(const List<IdMapView>& maps, uint32_t* host_id, uint32_t* count) {
  for (const IdMapView& map : maps) {
    if (map.container_id != 0) continue;
    *host_id = map.host_id;
    *count = map.size;
    return;
  }
}

// The pod's NET, IPC and UTS namespaces become the shim's own, so that its containers simply
// inherit.
bool EnterPodNamespaces(const PodView& plan) {
  const int flags = (plan.new_net ? CLONE_NEWNET : 0) | (plan.new_ipc ? CLONE_NEWIPC : 0) |
                    (plan.new_uts ? CLONE_NEWUTS : 0);
  if (plan.uid_maps.empty()) {
    return flags == 0 || SysUnshare(flags) == 0 || Fail("create the pod's namespaces");
  }
  UsernsHolder holder;
  if (!StartHolder(static_cast<uint64_t>(CLONE_NEWUSER | flags), &holder) ||
      !MapHolder(holder, plan.uid_maps, plan.gid_maps)) {
    return false;
  }
  g_pod.userns.Reset(OpenNamespace(holder.child.pid, "user"));
  FindRoot(plan.uid_maps, &g_pod.root_uid, &g_pod.uid_count);
  FindRoot(plan.gid_maps, &g_pod.root_gid, &g_pod.gid_count);
  if (!g_pod.userns.valid()) return false;
  if (flags == 0) return true;
  return SysSetns(holder.child.pidfd.get(), flags) == 0 || Fail("enter the pod's namespaces");
}

// Which namespace a sysctl belongs to must be the pod's own: the daemon has checked, this is the
// last line.
bool SysctlIsNamespaced(const char* path, const PodView& plan) {
  if (StartsWith(path, "net/")) return plan.new_net;
  if (StartsWith(path, "kernel/shm") || StartsWith(path, "kernel/msg") ||
      strcmp(path, "kernel/sem") == 0 || StartsWith(path, "fs/mqueue/")) {
    return plan.new_ipc;
  }
  if (strcmp(path, "kernel/domainname") == 0 || strcmp(path, "kernel/hostname") == 0) {
    return plan.new_uts;
  }
  return false;
}

// "net.ipv4.conf.eth0/1.x": dots separate and a slash stands for a dot, unless a slash comes first.
void SysctlPath(const char* key, Path* path) {
  const char* first = strpbrk(key, "./");
  const bool slashes = first != nullptr && *first == '/';
  path->Add(key);
  for (size_t i = 0; i < path->size && !slashes; ++i) {
    char& c = path->data[i];
    c = c == '.' ? '/' : (c == '/' ? '.' : c);
  }
}

bool IsUsual(const KeyValueView& sysctl) {
  for (const KeyValueView& usual : g_pod.usual.sysctls) {
    if (usual.key == sysctl.key.c_str() && usual.value == sysctl.value.c_str()) return true;
  }
  return false;
}

bool ApplySysctls(const PodView& plan) {
  const Fd root(openat(g_pod.proc.get(), "sys", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return Fail("open /proc/sys");
  for (const KeyValueView& sysctl : plan.sysctls) {
    if (g_pod.spare && IsUsual(sysctl)) continue;
    Path path;
    SysctlPath(sysctl.key.c_str(), &path);
    if (path.overflow || strstr(path.data, "..") != nullptr ||
        !SysctlIsNamespaced(path.data, plan)) {
      return Refuse(kInvalidArgument,
                    "sysctl is not of a namespace of the pod:", sysctl.key.c_str());
    }
    const Fd file(
        SysOpenat2(root.get(), path.data, O_WRONLY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS));
    if (!file.valid()) return Fail("open sysctl", sysctl.key.c_str());
    const ssize_t written = write(file.get(), sysctl.value.data, sysctl.value.size);
    if (written < 0) return Fail("set sysctl", sysctl.key.c_str());
    // Kernels differ in whether they refuse what follows a value or leave it unread.
    if (written != static_cast<ssize_t>(sysctl.value.size)) {
      return Refuse(kInvalidArgument, "the value has more than the kernel reads of sysctl",
                    sysctl.key.c_str());
    }
  }
  return true;
}

// With the pod's label, if it has one.
bool MountOfPod(const char* name,
                const char* type,
                const char* slot,
                unsigned long flags,
                Text<2048>* options,
                const PodView& plan) {
  if (!plan.mount_label.empty()) options->Add(",context=\"").Add(plan.mount_label).Add("\"");
  if (options->overflow) return Refuse(kInvalidArgument, "too long: the label of the pod's", name);
  return SysMount(name, slot, type, flags, options->data) == 0 || Fail("mount the pod's", name);
}

bool MountShm(const PodView& plan) {
  Text<2048> options;
  options.Add("mode=1777,size=").AddNumber(static_cast<int64_t>(plan.shm_bytes));
  return MountOfPod("shm", "tmpfs", kSlotShm, 2 | 4 | 8 /* nosuid, nodev, noexec */, &options,
                    plan);
}

// The pod's /etc/hostname, hosts and resolv.conf, whose contents the daemon puts there. Containers
// may write to them and to nothing else of it: so much is the most that they can fill.
bool MountFiles(const PodView& plan) {
  Text<2048> options;
  options.Add("mode=755,size=256k,nr_inodes=8");
  return MountOfPod("files", "tmpfs", kSlotFiles, 2 | 4 | 8 /* nosuid, nodev, noexec */, &options,
                    plan);
}

// Makes the mounts that hide paths from the pod's containers. A container that may mount finds
// nothing in them to write to: an overlay without a writable layer cannot be given one.
bool MountMasks(const PodView& plan) {
  Text<2048> options;
  options.Add("lowerdir=").Add(kMaskSource).Add(":").Add(kNoSource);
  return MountOfPod("masks", "overlay", kSlotMasks, 1 | 2 | 8 /* read-only, nosuid, noexec */,
                    &options, plan);
}

// An IPC namespace has one mqueue, which the kernel has mounted already. That is too late for an
// option, but its root takes a label from its owner, which is the host's root even if the users are
// mapped. If it takes none, nothing is gained or lost.
bool LabelQueues(const PodView& plan) {
  if (plan.mount_label.empty() || !plan.new_ipc) return true;
  const Fd fs(SysFsopen("mqueue"));
  if (!fs.valid()) return errno == ENODEV || Fail("open the pod's message queues");
  if (SysFsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return Fail("find the pod's message queues");
  }
  const Fd mount(SysFsmount(fs.get(), 0));
  const Fd root(openat(mount.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return Fail("mount the pod's message queues");
  const Str& label = plan.mount_label;
  return fsetxattr(root.get(), "security.selinux", label.c_str(), label.size + 1, 0) == 0 ||
         errno == ENOTSUP || Fail("label the pod's message queues", label.c_str());
}

bool OpenHostNamespaces() {
  const struct {
    Fd* fd;
    const char* path;
  } all[] = {{&g_pod.host_net, "/proc/self/ns/net"},
             {&g_pod.host_ipc, "/proc/self/ns/ipc"},
             {&g_pod.host_uts, "/proc/self/ns/uts"},
             {&g_pod.own_pid, "/proc/self/ns/pid"},
             {&g_pod.own_mnt, "/proc/self/ns/mnt"}};
  for (const auto& one : all) {
    one.fd->Reset(open(one.path, O_RDONLY | O_CLOEXEC));
    if (!one.fd->valid()) return Fail("open", one.path);
  }
  return true;
}

// Into a copy of them: the pod's own shm is to be mounted there.
bool LeaveTheBrokersMounts() {
  return SysUnshare(CLONE_NEWNS) == 0 || Fail("create the shim's mount namespace");
}

bool OpenPodNetwork() {
  g_pod.pod_net.Reset(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  return g_pod.pod_net.valid() || Fail("open the pod's network namespace");
}

}  // namespace

bool MakeSpare(const PodView& usual) {
  if (!LeaveTheBrokersMounts() || !OpenHostNamespaces() ||
      (SysUnshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0 &&
       !Fail("create a pod's namespaces")) ||
      !OpenPodNetwork() || !MountShm(usual) || !MountMasks(usual) || !MountFiles(usual) ||
      !ApplySysctls(usual)) {
    return false;
  }
  g_pod.sysfs.Reset(MountAhead("sysfs"));
  g_pod.mqueue.Reset(MountAhead("mqueue"));
  g_pod.usual = usual;
  g_pod.spare = true;
  return StartLoop() && StartLogWriter();
}

bool SetUpPod(const PodView& plan) {
  g_pod.id = Duplicate(plan.pod_id.data, plan.pod_id.size);
  if (g_pod.id == nullptr) return false;
  if (g_pod.spare) {
    if (!plan.new_net || !plan.new_ipc || !plan.new_uts || !plan.uid_maps.empty()) {
      return Refuse(kInvalidArgument, "a spare shim cannot be pod", g_pod.id);
    }
    const bool same_shm = plan.mount_label.empty() && plan.shm_bytes == g_pod.usual.shm_bytes;
    const bool labelled = !plan.mount_label.empty();
    if ((!same_shm && !MountShm(plan)) || (labelled && (!MountMasks(plan) || !MountFiles(plan))) ||
        !ApplySysctls(plan)) {
      return false;
    }
  } else if (!LeaveTheBrokersMounts() || !OpenHostNamespaces() || !MountShm(plan) ||
             !MountMasks(plan) || !MountFiles(plan) || !EnterPodNamespaces(plan) ||
             !ApplySysctls(plan) || (plan.new_net && !OpenPodNetwork())) {
    return false;
  }
  g_pod.proc.Reset();
  if (plan.new_uts && !plan.hostname.empty() &&
      sethostname(plan.hostname.data, plan.hostname.size) != 0) {
    return Fail("set the hostname to", plan.hostname.c_str());
  }
  if (!LabelQueues(plan)) return false;
  {
    const HostScope host;
    if (!host.entered()) return false;
    g_pod.state_dir.Reset(open(plan.state_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  if (!g_pod.state_dir.valid()) return Fail("open the state directory", plan.state_dir.c_str());
  if (!plan.shared_pid) return true;
  return (HostScope::ReturnHome() || Fail("return to the shim's mount namespace")) &&
         StartPodInit(plan);
}

}  // namespace crisp::shim
