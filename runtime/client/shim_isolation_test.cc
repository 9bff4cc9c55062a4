#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/testing/eventually.h"
#include "base/testing/status_matchers.h"
#include "runtime/client/testing/shim_test_pod.h"
#include "runtime/wire/wire.h"

namespace crisp::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
TEST_F(ShimTest, PodNamespacesAndSysctls) {
  PodPlan pod = MakePod();
  pod.sysctls = {{"net.ipv4.ip_unprivileged_port_start", "77"}, {"kernel.msgmax", "4096"}};
  StartPod(pod);
  EXPECT_GE(shim_->netns_fd(), 0);
  const std::string log = RunScript(
      "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax; "
      "grep -c : /proc/net/dev");
  EXPECT_THAT(log, HasSubstr("77\n4096\n"));
  pod = MakePod();
  pod.sysctls = {{"kernel.core_pattern", "|/bin/x"}};
  EXPECT_THAT(pool_->StartPod(pod, Operation()), StatusIs(absl::StatusCode::kInvalidArgument));
  pod = MakePod();
  pod.new_net = false;
  pod.sysctls = {{"net.ipv4.ip_forward", "1"}};
  EXPECT_THAT(pool_->StartPod(pod, Operation()), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ShimTest, SharedAndTargetedPidNamespaces) {
  PodPlan pod = MakePod();
  pod.shared_pid = true;
  StartPod(pod);
  ContainerPlan first = MakeContainer("sleep 77");
  first.pid = NamespaceMode::kPod;
  ASSERT_OK(shim_->CreateContainer(first, Operation()));
  ASSERT_OK(shim_->StartContainer(first.container_id, Operation()));
  ContainerPlan second =
      MakeContainer("usleep 1; cat /proc/[0-9]*/cmdline | tr '\\0' ' '; cat /proc/1/comm");
  second.pid = NamespaceMode::kPod;
  std::string log = Run(second);
  EXPECT_THAT(log, HasSubstr("sleep 77"));
  EXPECT_THAT(log, HasSubstr("crisp-pause"));

  const ContainerPlan alone = MakeContainer("sleep 88");
  ASSERT_OK(shim_->CreateContainer(alone, Operation()));
  ASSERT_OK_AND_ASSIGN(const StartedProcess target,
                       shim_->StartContainer(alone.container_id, Operation()));
  ContainerPlan debug = MakeContainer("cat /proc/1/cmdline | tr '\\0' ' '");
  debug.pid = NamespaceMode::kTarget;
  debug.target_pid = target.pid;
  EXPECT_THAT(Run(debug), HasSubstr("sleep 88"));
  ContainerPlan stale = MakeContainer("true");
  stale.pid = NamespaceMode::kTarget;
  stale.target_pid = getpid();
  ASSERT_OK(shim_->CreateContainer(stale, Operation()));
  EXPECT_THAT(shim_->StartContainer(stale.container_id, Operation()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(ShimTest, HostNamespaces) {
  StartPod();
  ContainerPlan plan = MakeContainer(
      "readlink /proc/self/ns/net; readlink /proc/self/ns/uts; "
      "readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc");
  plan.pid = plan.ipc = plan.net = plan.uts = NamespaceMode::kHost;
  std::string expected;
  for (const char* name : {"net", "uts", "pid", "ipc"}) {
    char link[64] = {};
    ASSERT_GT(readlink(absl::StrCat("/proc/self/ns/", name).c_str(), link, sizeof(link) - 1), 0);
    absl::StrAppend(&expected, link, "\n");
  }
  EXPECT_EQ(Run(plan), expected);
}

TEST_F(ShimTest, IdsCapabilitiesLimits) {
  StartPod();
  ContainerPlan plan = MakeContainer(
      "id; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status | tr '\\t' ' '; ulimit -n; "
      "umask; "
      "pwd; cat /proc/self/oom_score_adj");
  plan.process.uid = 1234;
  plan.process.gid = 4321;
  plan.process.groups = {4321, 99};
  plan.process.cap_bounding = 0x400;
  plan.process.cap_effective = plan.process.cap_permitted = 0x400;
  plan.process.cap_inheritable = plan.process.cap_ambient = 0x400;
  plan.process.no_new_privileges = true;
  plan.process.rlimits = {{7, {300, 400}}};
  plan.process.umask = 077;
  plan.process.cwd = "/made/for/me";
  plan.process.oom_score_adj = 500;
  // One instruction: allow everything.
  plan.process.seccomp_bpf = std::string("\x06\0\0\0\0\0\xff\x7f", 8);
  const std::string log = Run(plan);
  EXPECT_THAT(log, HasSubstr("uid=1234 gid=4321 groups=99,4321"));
  EXPECT_THAT(log, HasSubstr("CapInh: 0000000000000400\nCapPrm: 0000000000000400\n"
                             "CapEff: 0000000000000400\nCapBnd: 0000000000000400\n"
                             "CapAmb: 0000000000000400\n"));
  EXPECT_THAT(log, HasSubstr("NoNewPrivs: 1\nSeccomp: 2\n"));
  EXPECT_THAT(log, HasSubstr("300\n0077\n/made/for/me\n500\n"));
  // Without no_new_privs the filter needs a capability that the program does not get.
  plan = MakeContainer("grep -E '^(CapEff|Seccomp:)' /proc/self/status | tr '\\t' ' '");
  plan.process.cap_bounding = plan.process.cap_effective = plan.process.cap_permitted = 0x400;
  plan.process.seccomp_bpf = std::string("\x06\0\0\0\0\0\xff\x7f", 8);
  EXPECT_EQ(Run(plan), "CapEff: 0000000000000400\nSeccomp: 2\n");
}

// Lines of /proc/keys about the session keyring of a container.
size_t Keyrings(const std::string& container_id) {
  size_t count = 0;
  const std::string keys = ReadFile("/proc/keys").value_or("");
  for (absl::string_view line : absl::StrSplit(keys, '\n')) {
    count += absl::StrContains(line, absl::StrCat("_ses.", container_id)) ? 1 : 0;
  }
  return count;
}

// The root is the top of a mount namespace: containers may be run inside one, with or without ids
// of their own, and what the root is mounted over is not to be seen.
TEST_F(ShimTest, ARootIsAsGoodAsAHosts) {
  StartPod();
  ContainerPlan plan = MakeContainer(
      "wc -l </proc/self/mountinfo; cut -d' ' -f5 /proc/self/mountinfo | head -n1; "
      "unshare -U true && echo users; nsenter --mount=/proc/self/ns/mnt ls -d /made; "
      "unshare -m sh -c 'mount -t tmpfs t /made && mkdir /made/old && cd /made && pivot_root . old "
      "&& "
      "/old/bin/busybox umount -l old && echo pivoted && echo *'");
  plan.process.cap_bounding = plan.process.cap_effective = plan.process.cap_permitted =
      1u << 18 | 1u << 21;  // CAP_SYS_CHROOT, CAP_SYS_ADMIN
  plan.process.cwd = "/made";
  plan.masked_paths = plan.readonly_paths = {};
  plan.mounts.resize(2);  // proc and dev
  EXPECT_EQ(Run(plan), "3\n/\nusers\n/made\npivoted\nold\n");
}

TEST_F(ShimTest, ContainersHaveKeyringsOfTheirOwn) {
  if (!ReadFile("/proc/keys").ok()) GTEST_SKIP() << "no keyrings in this kernel";
  StartPod();
  ContainerPlan plan = MakeContainer("sleep 100");
  plan.container_id = GenerateId();
  containers_.push_back(plan.container_id);
  EXPECT_EQ(Keyrings(plan.container_id), 0u);
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  ASSERT_OK(shim_->StartContainer(plan.container_id, Operation()));
  EXPECT_EQ(Keyrings(plan.container_id), 1u);
  const ExecPlan exec = MakeExec(plan.container_id, "read x");
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  ASSERT_OK(shim_->Exec(exec, {.stdin_fd = read_end.get()}, Operation()));
  EXPECT_EQ(Keyrings(plan.container_id), 1u) << "an exec joins its container's";
  write_end.reset();
  observer_.WaitExec(exec.exec_id);
  ASSERT_OK(shim_->Signal(plan.container_id, SIGKILL));
  observer_.WaitContainer(plan.container_id);
  // The kernel collects it in its own time.
  EXPECT_TRUE(Eventually([&] { return Keyrings(plan.container_id) == 0; }));
}

TEST_F(ShimTest, SixtyLayersAndTheOldWay) {
  StartPod();
  for (const size_t padding : {size_t{1}, size_t{200}}) {
    // With 200 more bytes a path is too long for fsconfig: the shim mounts through the option page.
    ContainerPlan plan = MakeContainer("cat /layer; ls /only | wc -l");
    plan.lower_dirs.clear();
    const std::string base =
        padding > 1 ? absl::StrCat(std::string(padding, 'p'), "/", std::string(padding, 'q'), "/")
                    : "layers/";
    for (int i = 60; i >= 1; --i) {
      const std::string layer = MakeDir(absl::StrCat(base, i));
      ASSERT_OK(MakeDirs(layer + "/only"));
      ASSERT_OK(AtomicWriteFile(absl::StrCat(layer, "/only/", i), "x", 0644, Durability::kNone));
      ASSERT_OK(AtomicWriteFile(layer + "/layer", absl::StrCat(i, "\n"), 0644, Durability::kNone));
      plan.lower_dirs.push_back(layer);
    }
    plan.lower_dirs.push_back(MakeBusybox(absl::StrCat(base, "bottom")));
    plan.upper_dir = MakeDir(absl::StrCat(base, "upper"));
    plan.work_dir = MakeDir(absl::StrCat(base, "work"));
    EXPECT_EQ(Run(plan), "60\n60\n");
  }
}

TEST_F(ShimTest, ReadOnlyRootAndImageVolume) {
  StartPod();
  ContainerPlan plan = MakeContainer(
      "touch /x 2>&1 || echo ro; cat /img/f; touch /img/y 2>&1 || echo ro2; cat /sub/f");
  plan.rootfs_readonly = true;
  const std::string image = MakeDir("image");
  ASSERT_OK(MakeDirs(image + "/deep"));
  ASSERT_OK(AtomicWriteFile(image + "/f", "from image\n", 0644, Durability::kNone));
  ASSERT_OK(AtomicWriteFile(image + "/deep/f", "from deep\n", 0644, Durability::kNone));
  plan.mounts.push_back({.kind = MountKind::kOverlay, .destination = "/img", .lowers = {image}});
  plan.mounts.push_back(
      {.kind = MountKind::kOverlay, .destination = "/sub", .lowers = {image}, .sub_path = "deep"});
  const std::string log = Run(plan);
  EXPECT_THAT(log, HasSubstr("ro\nfrom image\n"));
  EXPECT_THAT(log, HasSubstr("ro2\nfrom deep\n"));
}

TEST_F(ShimTest, BindMountsAndCopyUp) {
  StartPod();
  const std::string volume = MakeDir("volume"), fresh = MakeDir("fresh");
  ASSERT_OK(MakeDirs(busybox_layer_ + "/var/data/inner"));
  ASSERT_OK(
      AtomicWriteFile(busybox_layer_ + "/var/data/inner/file", "seed\n", 0640, Durability::kNone));
  ASSERT_EQ(symlink("inner/file", (busybox_layer_ + "/var/data/link").c_str()), 0);
  ASSERT_EQ(symlink(volume.c_str(), (storage_ + "/volume-link").c_str()), 0);
  ASSERT_OK(AtomicWriteFile(dir_.path() + "/hosts", "1.2.3.4 me\n", 0644, Durability::kNone));
  ContainerPlan plan = MakeContainer(
      "echo w > /vol/w; touch /ro/x 2>&1 || echo ro; cat /etc/hosts; cat /var/data/link; "
      "stat -c %a /var/data/inner/file; echo n > /var/data/new");
  plan.mounts.push_back({.destination = "/vol", .source = storage_ + "/volume-link"});
  plan.mounts.push_back({.destination = "/ro", .source = volume, .attributes = 1});
  plan.mounts.push_back({.destination = "/etc/hosts", .source = dir_.path() + "/hosts"});
  plan.mounts.push_back({.destination = "/var/data", .source = fresh, .copy_up = true});
  const std::string log = Run(plan);
  EXPECT_THAT(log, HasSubstr("ro\n1.2.3.4 me\nseed\n640\n"));
  EXPECT_EQ(ReadFile(volume + "/w").value_or(""), "w\n");
  EXPECT_EQ(ReadFile(fresh + "/new").value_or(""), "n\n");
  EXPECT_NE(access((busybox_layer_ + "/var/data/new").c_str(), F_OK), 0);
}

TEST_F(ShimTest, HostileImagesStayInside) {
  StartPod();
  const std::string outside = absl::StrCat(dir_.path(), "/outside");
  ASSERT_OK(MakeDirs(outside));
  const std::vector<std::string> names = {"dev", "etc", "proc", "sys", "data"};
  const std::string up = absl::StrCat("../../../..", outside);
  for (const std::string& target : {outside, up, std::string("loop")}) {
    for (const std::string& name : names) {
      const std::string layer = MakeDir(absl::StrCat("hostile", ++count_));
      const std::string to = target == "loop" ? name : target;
      ASSERT_EQ(symlink(to.c_str(), absl::StrCat(layer, "/", name).c_str()), 0);
      ContainerPlan plan = MakeContainer("echo ran");
      plan.lower_dirs = {layer, busybox_layer_};
      plan.mounts.push_back({.destination = "/data/sub/file", .source = "/etc/hostname"});
      plan.mounts.push_back({.destination = "/etc/hosts", .source = "/etc/hostname"});
      plan.devices.push_back({.path = "/data/node", .major = 1, .minor = 3});
      ASSERT_OK(shim_->CreateContainer(plan, Operation()));
      const auto started = shim_->StartContainer(plan.container_id, Operation());
      if (target == "loop") {
        EXPECT_FALSE(started.ok()) << name;
      } else {
        EXPECT_OK(started) << name;
        EXPECT_EQ(observer_.WaitContainer(plan.container_id).exit_code, 0);
      }
      ASSERT_OK_AND_ASSIGN(const auto found, ListDir(outside));
      EXPECT_TRUE(found.empty()) << found[0];
    }
  }
}

TEST_F(ShimTest, ReplacedNullDeviceIsNotTheMask) {
  StartPod();
  // The image brings a symlink where the device should be, and the plan makes no /dev.
  const std::string layer = MakeDir("nullless");
  ASSERT_OK(MakeDirs(layer + "/dev"));
  ASSERT_EQ(symlink("/proc/sys/kernel/core_pattern", (layer + "/dev/null").c_str()), 0);
  ContainerPlan plan = MakeContainer(
      "cat /proc/version | wc -c; stat -c '%t:%T' /proc/version; readlink /proc/self/fd/0");
  plan.lower_dirs = {layer, busybox_layer_};
  plan.mounts.resize(1);
  plan.devices.clear();
  const std::string log = Run(plan);
  EXPECT_THAT(log, HasSubstr("0\n1:3\n"));
  EXPECT_THAT(log, Not(HasSubstr("core_pattern")));
}

TEST_F(ShimTest, WorkingDirectoryCannotBeADescriptor) {
  StartPod();
  const ContainerPlan host = MakeContainer("sleep 100");
  ASSERT_OK(shim_->CreateContainer(host, Operation()));
  ASSERT_OK(shim_->StartContainer(host.container_id, Operation()));
  for (int fd = 0; fd < 40; ++fd) {
    ExecPlan exec = MakeExec(host.container_id, "pwd");
    exec.process.cwd = absl::StrCat("/proc/self/fd/", fd);
    EXPECT_FALSE(shim_->Exec(exec, {}, Operation()).ok()) << fd;
  }
  ContainerPlan plan = MakeContainer("pwd");
  plan.process.cwd = "/proc/self/fd/7";
  ASSERT_OK(shim_->CreateContainer(plan, Operation()));
  EXPECT_FALSE(shim_->StartContainer(plan.container_id, Operation()).ok());
}

// A mount that is attached nowhere, as the daemon has of a layer that is an EROFS file.
UniqueFd HoldMount(const std::string& directory) {
  UniqueFd mount(open_tree(AT_FDCWD, directory.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  EXPECT_TRUE(mount.valid()) << directory;
  return mount;
}

// Since Linux 6.13. On others the daemon mounts no layers (storage/erofs/erofs_mount).
bool KernelTakesLayersByDescriptor(const std::string& directory) {
  const UniqueFd fs(fsopen("overlay", FSOPEN_CLOEXEC));
  const UniqueFd layer(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  return fsconfig(fs.get(), FSCONFIG_SET_FD, "lowerdir+", nullptr, layer.get()) == 0;
}

TEST_F(ShimTest, LayersMayBeMountsThatTheDaemonHolds) {
  if (!KernelTakesLayersByDescriptor(busybox_layer_))
    GTEST_SKIP() << "this kernel takes paths only";
  const std::string layer = MakeDir("held");
  ASSERT_OK(AtomicWriteFile(layer + "/f", "held\n", 0644, Durability::kNone));
  for (const bool userns : {false, true}) {
    PodPlan pod = MakePod();
    if (userns) pod.uid_maps = pod.gid_maps = {{0, 200000, 65536}};
    StartPod(pod);
    ContainerPlan plan =
        MakeContainer("cat /f /img/f /both/f; stat -c %u /f /img/f; echo x >/f; cat /f");
    const UniqueFd top = HoldMount(layer), bottom = HoldMount(busybox_layer_);
    const Lower upper_layer = Lower::Mount(top.get());
    plan.lower_dirs = {upper_layer, Lower::Mount(bottom.get())};
    plan.mounts.push_back(
        {.kind = MountKind::kOverlay, .destination = "/img", .lowers = {upper_layer}});
    plan.mounts.push_back({.kind = MountKind::kOverlay,
                           .destination = "/both",
                           .lowers = {upper_layer, MakeDir("empty")}});
    EXPECT_EQ(Run(plan), "held\nheld\nheld\n0\n0\nx\n") << userns;
    TearDown();
  }
}

TEST_F(ShimTest, UserNamespace) {
  PodPlan pod = MakePod();
  pod.uid_maps = pod.gid_maps = {{0, 200000, 65536}};
  // Everything on the way to the layers must be visible to nobody but is reached by descriptor.
  StartPod(pod);
  EXPECT_GE(shim_->userns_fd(), 0);
  ContainerPlan plan = MakeContainer(
      "id -u; cat /proc/self/uid_map | tr -s ' '; stat -c %u /bin/busybox; echo o > /mine; "
      "stat -c %u /mine; echo x > /dev/null && echo devnull; hostname; ls /proc/self/fd | tr '\\n' "
      "' '; "
      "mount -t tmpfs none /tmp && echo mounted; touch /dev/shm/q && stat -c %u /dev/shm/q; "
      "cat /vol/f; echo v > /vol/new; stat -c %u /img/bin/busybox");
  plan.mounts.push_back(
      {.kind = MountKind::kOverlay, .destination = "/img", .lowers = {busybox_layer_}});
  const std::string volume = MakeDir("uvol");
  ASSERT_OK(AtomicWriteFile(volume + "/f", "vol\n", 0600, Durability::kNone));
  plan.mounts.push_back({.destination = "/vol", .source = volume, .idmap = true});
  const std::string log = Run(plan);
  EXPECT_THAT(
      log, HasSubstr("0\n 0 200000 65536\n0\n0\ndevnull\ntestpod\n0 1 2 3 mounted\n0\nvol\n0\n"));
  struct stat status;
  ASSERT_EQ(stat((plan.upper_dir + "/mine").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 0u);  // id-mapped on disk
  ASSERT_EQ(stat((volume + "/new").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 0u);

  const ContainerPlan host = MakeContainer("sleep 100");
  ASSERT_OK(shim_->CreateContainer(host, Operation()));
  ASSERT_OK_AND_ASSIGN(const StartedProcess started,
                       shim_->StartContainer(host.container_id, Operation()));
  ASSERT_EQ(stat(absl::StrCat("/proc/", started.pid, "/cmdline").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 200000u);
  // The shell becomes what it was told to run, in its own time.
  EXPECT_TRUE(Eventually([&] { return CommOf(started.pid) == "sleep"; }));
  EXPECT_EQ(RunExec(MakeExec(host.container_id, "id -u; cat /proc/1/comm")), "0\nsleep\n");
}

}  // namespace
}  // namespace crisp::runtime
