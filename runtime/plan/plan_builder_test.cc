#include "runtime/plan/plan_builder.h"

#include <gmock/gmock.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sys/resource.h>

#include <algorithm>

#include "base/testing/status_matchers.h"
#include "runtime/oci/default_spec.h"
#include "runtime/plan/plan_process.h"

namespace crisp::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr uint64_t kAll = ~uint64_t{0};  // capabilities

OciSpec Spec() {
  OciSpec spec = DefaultSpec({});
  spec.process.args = {"/bin/true"};
  spec.linux_.namespaces = {{.type = "mount"},
                            {.type = "pid"},
                            {.type = "cgroup"},
                            {.type = "network", .path = "/proc/7/ns/net"},
                            {.type = "ipc", .path = "/proc/7/ns/ipc"},
                            {.type = "uts", .path = "/proc/7/ns/uts"}};
  return spec;
}

ContainerInputs Inputs() {
  return {.container_id = "c1",
          .lower_dirs = {"/l/2", "/l/1"},
          .upper_dir = "/u",
          .work_dir = "/w",
          .pod = {.pid_path = "/proc/7/ns/pid",
                  .ipc_path = "/proc/7/ns/ipc",
                  .net_path = "/proc/7/ns/net",
                  .uts_path = "/proc/7/ns/uts"},
          .cgroup_mounts = {{.source = "/sys/fs/cgroup/x"}}};
}

const MountPlan* At(const ContainerPlan& plan, const std::string& destination) {
  for (const MountPlan& mount : plan.mounts) {
    if (mount.destination == destination) return &mount;
  }
  return nullptr;
}

TEST(PlanBuilderTest, PlansADefaultContainer) {
  ContainerInputs inputs = Inputs();
  inputs.seccomp_bpf = "filter";
  inputs.seccomp_flags = 2;
  absl::StatusOr<ContainerPlan> plan = BuildContainerPlan(Spec(), inputs);
  ASSERT_OK(plan);
  EXPECT_EQ(plan->pid, NamespaceMode::kPrivate);
  EXPECT_EQ(plan->net, NamespaceMode::kPod);
  EXPECT_EQ(plan->ipc, NamespaceMode::kPod);
  EXPECT_EQ(plan->uts, NamespaceMode::kPod);
  EXPECT_TRUE(plan->private_cgroup_namespace);
  EXPECT_EQ(plan->lower_dirs, inputs.lower_dirs);
  EXPECT_EQ(plan->process.seccomp_bpf, "filter");
  EXPECT_EQ(plan->process.seccomp_flags, 2u);
  EXPECT_EQ(plan->process.cap_inheritable | plan->process.cap_ambient, 0u);
  EXPECT_EQ(plan->process.umask, 022u);
  EXPECT_EQ(plan->devices.size(), 6u);

  const MountPlan* dev = At(*plan, "/dev");
  ASSERT_NE(dev, nullptr);
  EXPECT_EQ(dev->kind, MountKind::kDev);
  EXPECT_THAT(dev->options, ElementsAre("mode=755", "size=65536k"));
  EXPECT_EQ(dev->attributes, uint64_t{MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME});
  EXPECT_EQ(At(*plan, "/dev/shm")->source, kPodShmSource);
  EXPECT_EQ(At(*plan, "/sys")->attributes & MOUNT_ATTR_RDONLY, uint64_t{MOUNT_ATTR_RDONLY});
  // The cgroup mounts stand last, and took over the read-only flag.
  EXPECT_EQ(plan->mounts.back().source, "/sys/fs/cgroup/x");
  EXPECT_EQ(plan->mounts.back().attributes & MOUNT_ATTR_RDONLY, uint64_t{MOUNT_ATTR_RDONLY});
}

TEST(PlanBuilderTest, ReadsNamespacesOffTheSpec) {
  OciSpec spec = Spec();
  spec.linux_.namespaces = {{.type = "mount"}, {.type = "pid", .path = "/proc/99/ns/pid"}};
  ContainerPlan plan = *BuildContainerPlan(spec, Inputs());
  EXPECT_EQ(plan.pid, NamespaceMode::kTarget);
  EXPECT_EQ(plan.target_pid, 99);
  EXPECT_EQ(plan.net, NamespaceMode::kHost);
  EXPECT_FALSE(plan.private_cgroup_namespace);

  spec.linux_.namespaces[1].path = "/proc/7/ns/pid";
  EXPECT_EQ(BuildContainerPlan(spec, Inputs())->pid, NamespaceMode::kPod);
  for (const char* path : {"/proc/self/ns/pid", "/proc/+1/ns/pid", "/proc//ns/pid",
                           "/proc/1/ns/pid/", "/proc/0/ns/pid", "/proc/99999999999/ns/pid"}) {
    spec.linux_.namespaces[1].path = path;
    EXPECT_THAT(BuildContainerPlan(spec, Inputs()), StatusIs(kInvalid)) << path;
  }
  spec = Spec();
  spec.linux_.namespaces[3].path = "/proc/1/ns/net";
  EXPECT_THAT(BuildContainerPlan(spec, Inputs()), StatusIs(kInvalid, HasSubstr("not the pod's")));
  spec = Spec();
  spec.linux_.namespaces.push_back({.type = "user"});
  EXPECT_THAT(BuildContainerPlan(spec, Inputs()), StatusIs(kInvalid, HasSubstr("user")));
  spec = Spec();
  spec.linux_.namespaces.erase(spec.linux_.namespaces.begin());
  EXPECT_THAT(BuildContainerPlan(spec, Inputs()), StatusIs(kInvalid, HasSubstr("mount")));
}

TEST(PlanBuilderTest, PlansBindsAndImages) {
  OciSpec spec = Spec();
  spec.mounts = {
      {.destination = "/data/../vol", .source = "/src", .options = {"rbind", "rslave", "rro"}},
      {.destination = "/one", .source = "/src", .options = {"bind"}},
      {.destination = "/vol2",
       .type = "bind",
       .source = "/v",
       .options = {"rbind", kOptionCopyUp},
       .uid_mappings = {{0, 65536, 10}},
       .gid_mappings = {{0, 65536, 10}}},
      {.destination = "/img", .type = kImageMountType, .source = "i1", .options = {"noexec"}},
  };
  ContainerInputs inputs = Inputs();
  inputs.image_volumes["i1"] = {.lowers = {"/i/1"}, .sub_path = "etc"};
  absl::StatusOr<ContainerPlan> plan = BuildContainerPlan(spec, inputs);
  ASSERT_OK(plan);
  EXPECT_EQ(plan->mounts[0].destination, "/vol");
  EXPECT_TRUE(plan->mounts[0].recursive && plan->mounts[0].recursive_attributes);
  EXPECT_EQ(plan->mounts[0].propagation, Propagation::kSlave);
  EXPECT_FALSE(plan->mounts[1].recursive);
  EXPECT_TRUE(plan->mounts[2].copy_up && plan->mounts[2].idmap);
  EXPECT_EQ(plan->mounts[2].uid_maps[0].host_id, 65536u);
  EXPECT_EQ(plan->mounts[3].kind, MountKind::kOverlay);
  EXPECT_EQ(plan->mounts[3].attributes, uint64_t{MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC});
  EXPECT_EQ(plan->mounts[3].sub_path, "etc");
}

TEST(PlanBuilderTest, RefusesMountsThatMakeNoSense) {
  const OciMount bad[] = {
      {.destination = "rel", .type = "tmpfs"},
      {.destination = "/", .type = "tmpfs"},
      {.destination = "/x/..", .type = "tmpfs"},
      {.destination = "/x"},
      {.destination = "/x", .source = "rel", .options = {"bind"}},
      {.destination = "/x", .source = "/y", .options = {"bind", "size=1"}},
      {.destination = "/x", .type = "tmpfs", .options = {"idmap"}},
      {.destination = "/x", .type = "tmpfs", .options = {"remount"}},
      {.destination = "/x", .type = kImageMountType, .source = "unknown"},
      {.destination = "/x", .type = kImageMountType, .source = "known", .options = {"idmap"}},
      {.destination = "/x", .source = "/y", .options = {"bind"}, .uid_mappings = {{0, 1, 1}}},
  };
  for (const OciMount& mount : bad) {
    OciSpec spec = Spec();
    spec.mounts = {mount};
    ContainerInputs inputs = Inputs();
    inputs.image_volumes["known"] = {.lowers = {"/i/1"}};
    EXPECT_THAT(BuildContainerPlan(spec, inputs), StatusIs(kInvalid, HasSubstr("mounts[0]")))
        << mount.destination << " " << mount.type;
  }
}

TEST(PlanBuilderTest, ABindOverDevLeavesItsContentsAlone) {
  OciSpec spec = Spec();
  spec.mounts.push_back({.destination = "/dev", .source = "/dev", .options = {"rbind"}});
  EXPECT_THAT(BuildContainerPlan(spec, Inputs())->devices, IsEmpty());
}

TEST(PlanBuilderTest, PlansDevices) {
  OciSpec spec = Spec();
  spec.linux_.devices = {
      {.type = "b", .path = "/dev/vda", .major = 254, .minor = 1, .file_mode = 0100640, .gid = 6},
      {.type = "c", .path = "/dev/null", .major = 1, .minor = 3, .file_mode = 0600}};
  ContainerInputs inputs = Inputs();
  inputs.device_sources["/dev/vda"] = "/dev/sda";
  ContainerPlan plan = *BuildContainerPlan(spec, inputs);
  ASSERT_EQ(plan.devices.size(), 7u);
  EXPECT_EQ(plan.devices[0].mode, 0600u) << "the spec's /dev/null replaces the default one";
  EXPECT_EQ(plan.devices[6].type, 'b');
  EXPECT_EQ(plan.devices[6].mode, 0640u);
  EXPECT_EQ(plan.devices[6].gid, 6u);
  EXPECT_EQ(plan.devices[6].host_path, "/dev/sda");

  for (OciDevice bad : {OciDevice{.type = "x", .path = "/dev/x"}, OciDevice{.type = "c"},
                        OciDevice{.type = "c", .path = "/dev/x", .major = -1},
                        OciDevice{.type = "c", .path = "/dev/x", .minor = 1 << 20}}) {
    spec.linux_.devices = {bad};
    EXPECT_THAT(BuildContainerPlan(spec, inputs), StatusIs(kInvalid)) << bad.path;
  }
}

TEST(PlanBuilderTest, PlansTheProcess) {
  OciProcess process = {
      .terminal = true,
      .console_size = OciConsoleSize{.height = 24, .width = 80},
      .user = {.uid = 1, .gid = 2, .umask = 0, .additional_gids = {3}},
      .args = {"sh"},
      .env = {"A=", "B=\xff"},
      .cwd = "/a/./b//",
      .capabilities = OciCapabilities{.bounding = {"CAP_KILL", "CAP_CHOWN"},
                                      .effective = {"CAP_KILL"},
                                      .inheritable = {"CAP_KILL"},
                                      .permitted = {"CAP_KILL"},
                                      .ambient = {"CAP_KILL", "CAP_CHOWN"}},
      .rlimits = {{"RLIMIT_NOFILE", 10, 20}},
      .no_new_privileges = true,
      .oom_score_adj = -998,
  };
  const ProcessPlan plan = *BuildProcessPlan(process, kAll);
  EXPECT_EQ(plan.cwd, "/a/b");
  EXPECT_EQ(plan.terminal_rows, 24);
  EXPECT_EQ(plan.umask, 0u);
  EXPECT_THAT(plan.groups, ElementsAre(3u));
  EXPECT_EQ(plan.cap_bounding, uint64_t{1 << CAP_KILL | 1 << CAP_CHOWN});
  EXPECT_EQ(plan.cap_ambient, uint64_t{1 << CAP_KILL}) << "only what is inheritable";
  ASSERT_EQ(plan.rlimits.size(), 1u);
  EXPECT_EQ(plan.rlimits[0].first, int{RLIMIT_NOFILE});
  EXPECT_EQ(plan.oom_score_adj, -998);

  const ProcessPlan poor = *BuildProcessPlan(process, 1 << CAP_CHOWN);
  EXPECT_EQ(poor.cap_bounding, uint64_t{1 << CAP_CHOWN});
  EXPECT_EQ(poor.cap_effective, 0u);
}

TEST(PlanBuilderTest, WithoutCapabilitiesThereAreNone) {
  const ProcessPlan plan = *BuildProcessPlan({.args = {"x"}}, kAll);
  EXPECT_EQ(plan.cap_bounding | plan.cap_permitted, 0u);
}

TEST(PlanBuilderTest, AnExecIsItsContainersProcessWithArgumentsOfItsOwn) {
  const ProcessPlan base =
      *BuildProcessPlan({.user = {.uid = 7}, .args = {"init"}, .env = {"A=b"}}, kAll);
  ExecPlan plan = *BuildExecPlan(base, {.exec_id = "e",
                                        .container_id = "c",
                                        .argv = {"ls", "-l"},
                                        .terminal = true,
                                        .seccomp_bpf = "filter"});
  EXPECT_EQ(plan.exec_id, "e");
  EXPECT_EQ(plan.container_id, "c");
  EXPECT_THAT(plan.process.argv, ElementsAre("ls", "-l"));
  EXPECT_THAT(plan.process.env, ElementsAre("A=b", "TERM=xterm"));
  EXPECT_EQ(plan.process.uid, 7u);
  EXPECT_TRUE(plan.process.terminal);
  EXPECT_EQ(plan.process.seccomp_bpf, "filter");
  plan = *BuildExecPlan(base, {.exec_id = "e", .container_id = "c", .argv = {"ls"}});
  EXPECT_THAT(plan.process.env, ElementsAre("A=b"));
  ProcessPlan own = base;
  own.env.push_back("TERM=vt100");
  plan =
      *BuildExecPlan(own, {.exec_id = "e", .container_id = "c", .argv = {"ls"}, .terminal = true});
  EXPECT_THAT(plan.process.env, ElementsAre("A=b", "TERM=vt100"));
  EXPECT_THAT(BuildExecPlan(base, {}).status(), StatusIs(kInvalid));
  EXPECT_THAT(BuildExecPlan(base, {.argv = {std::string("a\0b", 3)}}).status(), StatusIs(kInvalid));
}

TEST(PlanBuilderTest, RefusesProcessesThatMakeNoSense) {
  auto with = [](auto change) {
    OciProcess process{.args = {"x"}};
    change(process);
    return BuildProcessPlan(process, kAll).status();
  };
  EXPECT_OK(with([](OciProcess&) {}));
  EXPECT_THAT(with([](OciProcess& p) { p.args = {}; }), StatusIs(kInvalid));
  EXPECT_THAT(with([](OciProcess& p) { p.args = {""}; }), StatusIs(kInvalid));
  EXPECT_THAT(with([](OciProcess& p) { p.args = {std::string("a\0b", 3)}; }), StatusIs(kInvalid));
  EXPECT_THAT(with([](OciProcess& p) { p.env = {"NOVALUE"}; }), StatusIs(kInvalid));
  EXPECT_THAT(with([](OciProcess& p) { p.env = {"=x"}; }), StatusIs(kInvalid));
  EXPECT_THAT(with([](OciProcess& p) { p.cwd = "rel"; }), StatusIs(kInvalid));
  EXPECT_THAT(with([](OciProcess& p) { p.user.uid = 4294967295u; }), StatusIs(kInvalid));
  EXPECT_THAT(with([](OciProcess& p) { p.user.umask = 01000; }), StatusIs(kInvalid));
  EXPECT_THAT(with([](OciProcess& p) { p.oom_score_adj = 1001; }), StatusIs(kInvalid));
  EXPECT_THAT(with([](OciProcess& p) { p.rlimits = {{"RLIMIT_X", 0, 0}}; }), StatusIs(kInvalid));
  EXPECT_THAT(with([](OciProcess& p) { p.rlimits = {{"RLIMIT_CPU", 2, 1}}; }), StatusIs(kInvalid));
  EXPECT_THAT(with([](OciProcess& p) { p.capabilities = {.bounding = {"CAP_X"}}; }),
              StatusIs(kInvalid));
  EXPECT_THAT(with([](OciProcess& p) { p.capabilities = {.effective = {"CAP_KILL"}}; }),
              StatusIs(kInvalid, HasSubstr("subset")));
  EXPECT_THAT(with([](OciProcess& p) { p.other["scheduler"] = 1; }),
              StatusIs(absl::StatusCode::kUnimplemented));
  const auto with_io = [&with](const Json& io) {
    return with([&io](OciProcess& p) { p.other["ioPriority"] = io; });
  };
  EXPECT_OK(with_io({{"class", "IOPRIO_CLASS_RT"}, {"priority", 0}}));
  EXPECT_THAT(with_io({{"class", "IOPRIO_CLASS_NONE"}, {"priority", 0}}),
              StatusIs(kInvalid, HasSubstr("class")));
  EXPECT_THAT(with_io({{"class", "IOPRIO_CLASS_BE"}, {"priority", 8}}),
              StatusIs(kInvalid, HasSubstr("0 and 7")));
  EXPECT_THAT(with_io({{"class", "IOPRIO_CLASS_BE"}, {"priority", "1"}}), StatusIs(kInvalid));
  EXPECT_THAT(with_io("idle"), StatusIs(kInvalid));
}

TEST(PlanBuilderTest, AnIoPriorityIsClassAndLevel) {
  OciProcess process;
  process.args = {"a"};
  process.cwd = "/";
  process.other["ioPriority"] = {{"class", "IOPRIO_CLASS_IDLE"}, {"priority", 4}};
  ASSERT_OK_AND_ASSIGN(const ProcessPlan plan, BuildProcessPlan(process, ~uint64_t{0}));
  EXPECT_EQ(plan.io_priority, 3 << 13 | 4);
}

TEST(PlanBuilderTest, RefusesToCoverTheRootOrRelativePaths) {
  for (const char* path : {"/", "proc/kcore", "", "/.."}) {
    OciSpec spec = Spec();
    spec.linux_.masked_paths = {path};
    EXPECT_THAT(BuildContainerPlan(spec, Inputs()), StatusIs(kInvalid)) << path;
  }
  OciSpec spec = Spec();
  spec.linux_.rootfs_propagation = "unbindable";
  EXPECT_THAT(BuildContainerPlan(spec, Inputs()), StatusIs(kInvalid));
}

}  // namespace
}  // namespace crisp::runtime
