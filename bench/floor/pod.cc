#include "bench/floor/pod.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "bench/floor/sys.h"
#include "runtime/cgroup/cgroup_devices.h"

namespace crisp::bench {
namespace {

constexpr uint64_t kCareful = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

// A new v1 cpuset takes nobody until it has processors and memory.
void FillCpuset(const std::string& parent, const std::string& dir) {
  for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
    char value[256];
    const int from = OpenPath(AT_FDCWD, (parent + file).c_str(), O_RDONLY);
    const ssize_t size = Check(read(from, value, sizeof(value)), file);
    close(from);
    const int to = OpenPath(AT_FDCWD, (dir + file).c_str(), O_WRONLY);
    Check(write(to, value, static_cast<size_t>(size)), file);
    close(to);
  }
}

void WriteNewFile(const std::string& path, const std::string& text) {
  const int fd = OpenPath(AT_FDCWD, path.c_str(), O_WRONLY | O_CREAT | O_EXCL);
  Check(write(fd, text.data(), text.size()), path.c_str());
  close(fd);
}

void CloseAll(std::initializer_list<int*> fds) {
  for (int* fd : fds) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
  }
}

}  // namespace

Pod::Pod(Node* node, uint32_t number)
    : node_(node),
      number_(number),
      name_("p" + std::to_string(number)),
      directory_(node->directory() + "/" + name_),
      cgroup_("/" + node->name() + "/" + name_) {}

Pod::~Pod() {
  CloseAll({&netns_, &ipcns_, &utsns_, &route_socket_, &shm_, &root_, &log_, &stdio_[0][0],
            &stdio_[0][1], &stdio_[1][0], &stdio_[1][1], &unified_});
  for (const Prepared& one : mounts_) close(one.mount);
  for (const int fd : tasks_) close(fd);
}

void Pod::MakeNamespaces() {
  Check(unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS), "make the pod's namespaces");
  netns_ = OpenPath(AT_FDCWD, "/proc/self/ns/net", O_RDONLY);
  ipcns_ = OpenPath(AT_FDCWD, "/proc/self/ns/ipc", O_RDONLY);
  utsns_ = OpenPath(AT_FDCWD, "/proc/self/ns/uts", O_RDONLY);
  Check(sethostname(name_.data(), name_.size()), "set the hostname");
  route_socket_ = OpenRouteSocket();
  EnterNamespace(node_->home().net, CLONE_NEWNET, "leave the pod's network");
  EnterNamespace(node_->home().ipc, CLONE_NEWIPC, "leave the pod's IPC");
  EnterNamespace(node_->home().uts, CLONE_NEWUTS, "leave the pod's UTS");
}

void Pod::MakeCgroup() {
  for (const runtime::CgroupHierarchy& hierarchy : node_->cgroups().hierarchies) {
    const std::string dir = hierarchy.mount_point + cgroup_;
    Check(mkdir(dir.c_str(), 0755), "make a cgroup");
    if (hierarchy.controllers == std::vector<std::string>{"cpuset"}) {
      FillCpuset(dir.substr(0, dir.rfind('/')), dir);
    }
  }
}

void Pod::RunNetwork(Laps* laps) {
  MakeNamespaces();
  laps->Lap("pod.namespaces");
  node_->bridge().AddPod("f" + std::to_string(getpid() % 100000) + "-" + std::to_string(number_),
                         netns_);
  laps->Lap("pod.veth");
  ConfigurePod(route_socket_, number_ + 2);
  laps->Lap("pod.address");
}

void Pod::RunSandbox(Laps* laps) {
  RunNetwork(laps);
  sandbox_ = true;
  const int fs = NewFileSystem("tmpfs");
  SetString(fs, "mode", "1777");
  SetString(fs, "size", "64m");
  shm_ = MountNew(fs);
  laps->Lap("pod.shm");
  Check(mkdir(directory_.c_str(), 0700), "make the pod's directory");
  WriteNewFile(directory_ + "/hosts", "127.0.0.1 localhost\n10.96.0.2 " + name_ + "\n");
  WriteNewFile(directory_ + "/hostname", name_ + "\n");
  WriteNewFile(directory_ + "/resolv.conf", "nameserver 10.96.0.1\n");
  laps->Lap("pod.files");
}

void Pod::WriteLimits() {
  for (const runtime::CgroupWrite& write : node_->limits()) {
    const runtime::CgroupHierarchy* hierarchy = node_->cgroups().Find(write.controller);
    if (hierarchy == nullptr) continue;
    const std::string file = hierarchy->mount_point + cgroup_ + "/" + write.file;
    const int fd = open(file.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && write.optional) continue;
    Check(fd, file.c_str());
    Check(::write(fd, write.value.data(), write.value.size()), file.c_str());
    close(fd);
  }
  if (!node_->cgroups().v2) return;
  const std::string dir = node_->cgroups().hierarchies[0].mount_point + cgroup_;
  if (!runtime::AttachDeviceProgram(dir, node_->device_program()).ok()) Die("attach device rules");
}

int Pod::MountOverlay() {
  const int fs = NewFileSystem("overlay");
  for (const std::string& layer : node_->layers()) SetString(fs, "lowerdir+", layer.c_str());
  SetString(fs, "upperdir", (directory_ + "/upper").c_str());
  SetString(fs, "workdir", (directory_ + "/work").c_str());
  SetString(fs, "volatile", nullptr);
  return MountNew(fs);
}

void Pod::MountDev() {
  int fs = NewFileSystem("tmpfs");
  SetString(fs, "mode", "755");
  SetString(fs, "size", "65536k");
  const int dev = MountNew(fs);
  SetMountAttributes(dev, MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME, false);
  const struct {
    const char* name;
    unsigned major, minor;
  } nodes[] = {{"null", 1, 3},   {"zero", 1, 5},    {"full", 1, 7},
               {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
  for (const auto& node : nodes) {
    Check(mknodat(dev, node.name, S_IFCHR | 0666, makedev(node.major, node.minor)), node.name);
    Check(fchmodat(dev, node.name, 0666, 0), node.name);
  }
  const char* const links[][2] = {{"/proc/self/fd", "fd"},       {"/proc/self/fd/0", "stdin"},
                                  {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"},
                                  {"/proc/kcore", "core"},       {"pts/ptmx", "ptmx"}};
  for (const auto& link : links) Check(symlinkat(link[0], dev, link[1]), link[1]);
  for (const char* name : {"pts", "shm", "mqueue"}) Check(mkdirat(dev, name, 0755), name);
  fs = NewFileSystem("devpts");
  for (const char* option : {"ptmxmode", "mode", "gid"}) {
    SetString(fs, option, *option == 'p' ? "0666" : *option == 'm' ? "0620" : "5");
  }
  const int pts = MountNew(fs);
  SetMountAttributes(pts, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, false);
  mounts_.push_back({dev, "dev"});
  mounts_.push_back({pts, "dev/pts"});
}

void Pod::CloneBinds() {
  const auto add = [this](const std::string& source, const char* target, uint64_t attributes) {
    const int mount = CloneMount(AT_FDCWD, source.c_str(), false);
    if (attributes != 0) SetMountAttributes(mount, attributes, false);
    mounts_.push_back({mount, target});
  };
  const int shm = CloneMount(shm_, "", false);
  SetMountAttributes(shm, kCareful, false);
  mounts_.push_back({shm, "dev/shm"});
  add(directory_ + "/hosts", "etc/hosts", 0);
  add(directory_ + "/hostname", "etc/hostname", 0);
  add(directory_ + "/resolv.conf", "etc/resolv.conf", 0);
}

void Pod::OpenStdio() {
  const std::string log = directory_ + "/0.log";
  log_ = OpenPath(AT_FDCWD, log.c_str(), O_WRONLY | O_CREAT | O_APPEND);
  for (auto& ends : stdio_) Check(pipe2(ends, O_CLOEXEC), "make a pipe");
}

void Pod::CreateContainer(Laps* laps) {
  container_ = true;
  Check(mkdir((directory_ + "/upper").c_str(), 0755), "make the upper directory");
  Check(mkdir((directory_ + "/work").c_str(), 0700), "make the work directory");
  laps->Lap("create.dirs");
  MakeCgroup();
  laps->Lap("create.cgroups");
  WriteLimits();
  laps->Lap("create.limits");
  root_ = MountOverlay();
  laps->Lap("create.overlay");
  MountDev();
  laps->Lap("create.dev");
  CloneBinds();
  laps->Lap("create.binds");
  OpenStdio();
  laps->Lap("create.stdio");
}

void Pod::RemoveCgroups() {
  for (const runtime::CgroupHierarchy& hierarchy : node_->cgroups().hierarchies) {
    const std::string dir = hierarchy.mount_point + cgroup_;
    // Processes leave a cgroup a moment after they can be reaped.
    while (rmdir(dir.c_str()) != 0) {
      if (errno != EBUSY) Die("remove a cgroup");
      sched_yield();
    }
  }
}

void Pod::End(Laps* laps) {
  if (init_ > 0) {
    Check(kill(init_, SIGKILL), "kill the container");
    Check(waitpid(init_, nullptr, 0), "reap the container");
  }
  laps->Lap("end.kill");
  if (container_) RemoveCgroups();
  laps->Lap("end.cgroups");
  CloseAll({&netns_, &ipcns_, &utsns_, &route_socket_, &shm_});
  laps->Lap("end.namespaces");
  if (sandbox_) std::filesystem::remove_all(directory_);
  laps->Lap("end.files");
}

}  // namespace crisp::bench
