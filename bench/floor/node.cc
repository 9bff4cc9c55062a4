#include "bench/floor/node.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/status/statusor.h"
#include "bench/floor/sys.h"
#include "runtime/cgroup/cgroup_devices.h"
#include "runtime/oci/capabilities.h"
#include "runtime/oci/default_spec.h"
#include "runtime/seccomp/seccomp_filter.h"
#include "runtime/seccomp/seccomp_profile.h"

namespace crisp::bench {
namespace {

namespace fs = std::filesystem;

// The node that a run still has to take away when it dies.
Node* g_node = nullptr;

template <typename T>
T Need(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "floor: %s\n", std::string(value.status().message()).c_str());
    std::exit(1);
  }
  return *std::move(value);
}

// The same limits as cri-bench asks of the runtimes.
runtime::OciResources Resources() {
  runtime::OciResources resources;
  resources.devices = runtime::DefaultDeviceRules();
  resources.cpu.shares = 102;
  resources.cpu.period = 100000;
  resources.cpu.quota = 100000;
  resources.memory.limit = 256 << 20;
  return resources;
}

std::string Filter() {
  const auto profile =
      runtime::DefaultSeccompProfile(runtime::SeccompTarget::Host(runtime::DefaultCapabilities()));
  return Need(runtime::CompileSeccomp(profile)).bpf;
}

void Copy(const std::string& parent, const std::string& dir, const char* file) {
  std::ifstream from(parent + file);
  std::ofstream(dir + file) << from.rdbuf();
}

void RemoveGroups(const std::string& dir) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(dir, ignored)) {
    if (entry.is_directory(ignored)) RemoveGroups(entry.path());
  }
  (void)rmdir(dir.c_str());
}

}  // namespace

Node::Node(const NodeOptions& options)
    : name_("crispfloor" + std::to_string(getpid() % 10000)),
      directory_(options.directory + "/" + name_) {
  g_node = this;
  std::atexit([] {
    if (g_node != nullptr) g_node->RemoveAll();
  });
  home_.net = OpenPath(AT_FDCWD, "/proc/self/ns/net", O_RDONLY);
  home_.ipc = OpenPath(AT_FDCWD, "/proc/self/ns/ipc", O_RDONLY);
  home_.uts = OpenPath(AT_FDCWD, "/proc/self/ns/uts", O_RDONLY);
  home_.mnt = OpenPath(AT_FDCWD, "/proc/self/ns/mnt", O_RDONLY);
  home_.pid = OpenPath(AT_FDCWD, "/proc/self/ns/pid", O_RDONLY);
  MakeLayers(options);
  cgroups_ = Need(runtime::DetectCgroups());
  MakeCgroups();
  limits_ = Need(runtime::CgroupWrites(Resources(), cgroups_.v2));
  if (cgroups_.v2) device_program_ = Need(runtime::DeviceProgramV2(Resources().devices));
  filter_ = Filter();
  MakeSmallNamespace();
  bridge_ = std::make_unique<Bridge>(name_);
}

Node::~Node() {
  g_node = nullptr;
  if (owned_) RemoveAll();
}

void Node::Borrow() {
  owned_ = false;
  g_node = nullptr;
  bridge_->Borrow();
}

void Node::MakeLayers(const NodeOptions& options) {
  for (int i = 0; i < options.layers; ++i) {
    layers_.push_back(directory_ + "/layer" + std::to_string(i));
    fs::create_directories(layers_.back() + "/layer" + std::to_string(i));
  }
  const std::string& top = layers_.front();
  for (const char* name : {"bin", "proc", "dev", "sys", "etc", "tmp"}) {
    fs::create_directories(top + "/" + name);
  }
  fs::copy_file(options.program, top + "/bin/busybox");
  for (const char* name : {"sleep", "true"}) {
    fs::create_hard_link(top + "/bin/busybox", top + "/bin/" + name);
  }
  for (const char* name : {"hosts", "hostname", "resolv.conf"}) {
    std::ofstream(top + "/etc/" + name);
  }
  for (int i = 0; i < options.host_mounts; ++i) {
    const std::string target = directory_ + "/mount" + std::to_string(i);
    fs::create_directory(target);
    Check(mount("tmpfs", target.c_str(), "tmpfs", 0, "size=4k"), "mount on the host");
    host_mounts_.push_back(target);
  }
}

void Node::MakeCgroups() {
  for (const runtime::CgroupHierarchy& hierarchy : cgroups_.hierarchies) {
    const std::string dir = hierarchy.mount_point + "/" + name_;
    Check(mkdir(dir.c_str(), 0755), "make the parent cgroup");
    if (cgroups_.v2) {
      std::ifstream available(dir + "/cgroup.controllers");
      for (std::string name; available >> name;) {
        std::ofstream(dir + "/cgroup.subtree_control") << "+" << name;
      }
    } else if (access((dir + "/cpuset.cpus").c_str(), F_OK) == 0) {
      Copy(hierarchy.mount_point, dir, "/cpuset.cpus");
      Copy(hierarchy.mount_point, dir, "/cpuset.mems");
    }
  }
}

void Node::MakeSmallNamespace() {
  const std::string base = directory_ + "/small";
  fs::create_directory(base);
  Check(unshare(CLONE_NEWNS), "make the small mount namespace");
  Check(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "make its mounts private");
  Check(mount("small", base.c_str(), "tmpfs", 0, "size=1m"), "mount its root");
  Check(chdir(base.c_str()), "enter its root");
  Check(mkdir("root", 0755), "make /root");
  Check(mkdir("empty", 0755), "make /empty");
  Check(mkdir("proc", 0555), "make /proc");
  Check(mount("proc", "proc", "proc", 0, nullptr), "mount /proc");
  Check(mknod("null", S_IFCHR | 0666, makedev(1, 3)), "make /null");
  Check(syscall(SYS_pivot_root, ".", "."), "pivot");
  Check(umount2(".", MNT_DETACH), "leave the host's mounts");
  home_.small_mnt = OpenPath(AT_FDCWD, "/proc/self/ns/mnt", O_RDONLY);
  EnterNamespace(home_.mnt, CLONE_NEWNS, "come back to the host's mounts");
}

void Node::RemoveAll() {
  (void)setns(home_.mnt, CLONE_NEWNS);
  bridge_.reset();
  std::error_code ignored;
  for (const runtime::CgroupHierarchy& hierarchy : cgroups_.hierarchies) {
    RemoveGroups(hierarchy.mount_point + "/" + name_);
  }
  for (const std::string& target : host_mounts_) (void)umount2(target.c_str(), MNT_DETACH);
  fs::remove_all(directory_, ignored);
}

}  // namespace crisp::bench
