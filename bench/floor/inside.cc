#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/floor/pod.h"
#include "bench/floor/sys.h"
#include "runtime/oci/capabilities.h"
#include "runtime/oci/default_spec.h"

// The processes that become a container's init and its execs. They borrow the memory of the
// program, so they allocate nothing.

namespace crisp::bench {
namespace {

constexpr uint64_t kSysAdmin = uint64_t{1} << CAP_SYS_ADMIN;
constexpr uint64_t kCareful = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

void SetCapabilities(uint64_t mask) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  for (int i = 0; i < 2; ++i) {
    data[i].effective = data[i].permitted = static_cast<uint32_t>(mask >> (32 * i));
  }
  Check(syscall(SYS_capset, &header, data), "capset");
}

// The bounding set, ids and capabilities; CAP_SYS_ADMIN stays for the filter.
void DropPrivileges(uint64_t keep) {
  for (int cap = 0; cap <= CAP_LAST_CAP; ++cap) {
    if ((keep >> cap & 1) == 0) Check(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0), "drop a capability");
  }
  Check(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "keepcaps");
  const gid_t group = 0;
  Check(syscall(SYS_setgroups, 1, &group), "setgroups");
  Check(syscall(SYS_setresgid, 0, 0, 0), "setresgid");
  Check(syscall(SYS_setresuid, 0, 0, 0), "setresuid");
  Check(prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0), "keepcaps");
  SetCapabilities(keep | kSysAdmin);
  Check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "clear ambient capabilities");
  Check(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "ask to die with the parent");
  umask(022);
}

void InstallFilter(const std::string& filter, uint64_t keep) {
  sock_fprog program = {};
  program.len = static_cast<unsigned short>(filter.size() / sizeof(sock_filter));
  program.filter = reinterpret_cast<sock_filter*>(const_cast<char*>(filter.data()));
  Check(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), "install the filter");
  SetCapabilities(keep);
}

void TakeStdio(const int (&pipes)[2][2]) {
  const int null = OpenPath(AT_FDCWD, "/dev/null", O_RDWR);
  Check(dup2(null, 0), "dup2");
  for (int i = 0; i < 2; ++i) Check(dup2(pipes[i][1], i + 1), "dup2");
  Check(syscall(SYS_close_range, 3, ~0u, 0), "close descriptors");
}

[[noreturn]] void Execute(const char* name, const char* argument) {
  const char* argv[] = {name, argument, nullptr};
  const char* env[] = {"PATH=/bin", "HOSTNAME=pod", nullptr};
  execve(argv[0], const_cast<char**>(argv), const_cast<char**>(env));
  Die("execute");
}

void Attach(int root, int mount, const char* path) {
  const int target = Check(OpenInRoot(root, path), path);
  AttachMount(mount, target, path);
  close(target);
}

void MountFresh(int root, const char* type, const char* path, uint64_t attributes) {
  const int mount = MountNew(NewFileSystem(type));
  SetMountAttributes(mount, attributes, false);
  Attach(root, mount, path);
  close(mount);
}

}  // namespace

// The friend of Pod that runs as its container's processes.
class Inside {
 public:
  Inside(const Pod& pod, Laps* laps)
      : pod_(pod),
        laps_(laps),
        capabilities_(runtime::DefaultCapabilities()),
        masked_(runtime::DefaultMaskedPaths()),
        read_only_(runtime::DefaultReadonlyPaths()) {
    // Those that a container sees of its groups: the hierarchies' parent, and each.
    if (pod.node_->cgroups().v2) return;
    for (const runtime::CgroupHierarchy& hierarchy : pod.node_->cgroups().hierarchies) {
      const size_t slash = hierarchy.mount_point.rfind('/');
      cgroup_targets_.push_back("sys/fs/cgroup" + hierarchy.mount_point.substr(slash));
    }
  }

  static void RunInit(void* self) { static_cast<Inside*>(self)->Init(); }
  static void RunExec(void* self) { static_cast<Inside*>(self)->Exec(); }

  // The cgroups as the container sees them: on v1 the directory of the hierarchies, then its group
  // in each.
  std::vector<int> cgroup_mounts;
  int init_pidfd = -1;
  int stdio[2][2];

 private:
  void JoinCgroups() {
    for (const int tasks : pod_.tasks_) Check(write(tasks, "0", 1), "join a cgroup");
    WriteAt(AT_FDCWD, "/proc/self/oom_score_adj", "1000");
  }

  [[noreturn]] void Init() {
    laps_->Lap("start.clone");
    JoinCgroups();
    laps_->Lap("start.cgroups");
    EnterNamespace(pod_.netns_, CLONE_NEWNET, "enter the pod's network");
    EnterNamespace(pod_.ipcns_, CLONE_NEWIPC, "enter the pod's IPC");
    EnterNamespace(pod_.utsns_, CLONE_NEWUTS, "enter the pod's UTS");
    Check(unshare(CLONE_NEWCGROUP), "make the cgroup namespace");
    laps_->Lap("start.enter");
    AttachAll();
    laps_->Lap("start.attach");
    MaskPaths();
    laps_->Lap("start.masks");
    Pivot();
    laps_->Lap("start.pivot");
    setsid();
    TakeStdio(pod_.stdio_);
    DropPrivileges(capabilities_);
    laps_->Lap("start.privileges");
    InstallFilter(pod_.node_->filter(), capabilities_);
    laps_->Lap("start.seccomp");
    Execute("/bin/sleep", "1000000");
  }

  void AttachAll() {
    const int slot = OpenPath(AT_FDCWD, "/root", O_PATH | O_DIRECTORY);
    AttachMount(pod_.root_, slot, "attach the root");
    MountFresh(pod_.root_, "proc", "proc", kCareful);
    for (const Pod::Prepared& one : pod_.mounts_) Attach(pod_.root_, one.mount, one.target);
    MountFresh(pod_.root_, "mqueue", "dev/mqueue", kCareful);
    MountFresh(pod_.root_, "sysfs", "sys", kCareful | MOUNT_ATTR_RDONLY);
    for (size_t i = 0; i < cgroup_mounts.size(); ++i) {
      Attach(pod_.root_, cgroup_mounts[i],
             i == 0 ? "sys/fs/cgroup" : cgroup_targets_[i - 1].c_str());
    }
  }

  void MaskPaths() {
    for (const std::string& path : read_only_) {
      const int target = OpenInRoot(pod_.root_, path.c_str());
      if (target < 0) continue;
      const int clone = CloneMount(target, "", true);
      SetMountAttributes(clone, MOUNT_ATTR_RDONLY, true);
      AttachMount(clone, target, path.c_str());
    }
    for (const std::string& path : masked_) {
      const int target = OpenInRoot(pod_.root_, path.c_str());
      if (target < 0) continue;
      struct stat status;
      Check(fstat(target, &status), path.c_str());
      const int mask = CloneMount(AT_FDCWD, S_ISDIR(status.st_mode) ? "/empty" : "/null", false);
      SetMountAttributes(mask, kCareful | MOUNT_ATTR_RDONLY, false);
      AttachMount(mask, target, path.c_str());
    }
  }

  void Pivot() {
    Check(fchdir(pod_.root_), "enter the root");
    Check(syscall(SYS_pivot_root, ".", "."), "pivot");
    Check(umount2(".", MNT_DETACH), "leave the small namespace");
    Check(chdir("/"), "enter the root");
  }

  [[noreturn]] void Exec() {
    laps_->Lap("exec.clone");
    JoinCgroups();
    EnterNamespace(init_pidfd,
                   CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS,
                   "enter the container");
    laps_->Lap("exec.enter");
    Check(chdir("/"), "enter the root");
    setsid();
    TakeStdio(stdio);
    DropPrivileges(capabilities_);
    laps_->Lap("exec.privileges");
    InstallFilter(pod_.node_->filter(), capabilities_);
    laps_->Lap("exec.seccomp");
    Execute("/bin/true", nullptr);
  }

  const Pod& pod_;
  Laps* laps_;
  const uint64_t capabilities_;
  const std::vector<std::string> masked_, read_only_;
  std::vector<std::string> cgroup_targets_;
};

void Pod::StartContainer(Laps* laps) {
  Inside inside(*this, laps);
  laps->Start();
  if (node_->cgroups().v2) {
    const std::string dir = node_->cgroups().hierarchies[0].mount_point + cgroup_;
    unified_ = OpenPath(AT_FDCWD, dir.c_str(), O_PATH | O_DIRECTORY);
  }
  for (const auto& hierarchy : node_->cgroups().hierarchies) {
    if (inside.cgroup_mounts.empty() && !node_->cgroups().v2) {
      const size_t slash = hierarchy.mount_point.rfind('/');
      const std::string parent = hierarchy.mount_point.substr(0, slash);
      inside.cgroup_mounts.push_back(CloneMount(AT_FDCWD, parent.c_str(), false));
    }
    const std::string dir = hierarchy.mount_point + cgroup_;
    inside.cgroup_mounts.push_back(CloneMount(AT_FDCWD, dir.c_str(), false));
    if (!node_->cgroups().v2) {
      tasks_.push_back(OpenPath(AT_FDCWD, (dir + "/tasks").c_str(), O_WRONLY));
    }
  }
  for (const int mount : inside.cgroup_mounts) {
    SetMountAttributes(mount, kCareful | MOUNT_ATTR_RDONLY, false);
  }
  laps->Lap("start.open");
  // The child copies the mount namespace that its parent is in.
  EnterNamespace(node_->home().small_mnt, CLONE_NEWNS, "enter the small namespace");
  init_ = SpawnBorrowing(CLONE_NEWPID | CLONE_NEWNS, unified_, Inside::RunInit, &inside);
  laps->Lap("start.exec");
  EnterNamespace(node_->home().mnt, CLONE_NEWNS, "come back from the small namespace");
  for (const int mount : inside.cgroup_mounts) close(mount);
  for (auto& ends : stdio_) {
    close(ends[1]);
    ends[1] = -1;
  }
  for (const Prepared& one : mounts_) close(one.mount);
  mounts_.clear();
  close(root_);
  root_ = -1;
  laps->Lap("start.close");
}

void Pod::Exec(Laps* laps) {
  Inside inside(*this, laps);
  laps->Start();
  inside.init_pidfd = Check(syscall(SYS_pidfd_open, init_, 0), "open the container's process");
  for (auto& ends : inside.stdio) Check(pipe2(ends, O_CLOEXEC), "make a pipe");
  EnterNamespace(inside.init_pidfd, CLONE_NEWPID, "enter the container's PID namespace");
  laps->Lap("exec.open");
  const pid_t pid = SpawnBorrowing(0, unified_, Inside::RunExec, &inside);
  EnterNamespace(node_->home().pid, CLONE_NEWPID, "come back from the PID namespace");
  laps->Lap("exec.exec");
  for (auto& ends : inside.stdio) {
    close(ends[1]);
    char byte;
    while (read(ends[0], &byte, 1) > 0) {
    }
    close(ends[0]);
  }
  Check(waitpid(pid, nullptr, 0), "reap the exec");
  close(inside.init_pidfd);
  laps->Lap("exec.run");
}

}  // namespace crisp::bench
