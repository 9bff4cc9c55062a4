#include "cri/spec/spec_builder.h"

#include <algorithm>
#include <csignal>

#include "base/testing/status_matchers.h"
#include "cri/node/host_facts.h"
#include "runtime/oci/capabilities.h"
#include "runtime/oci/crisp_mounts.h"

namespace crisp::cri {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class SpecTest : public ::testing::Test {
 protected:
  SpecTest() {
    image_.command = {"serve"};
    container_.mutable_metadata()->set_name("c");
    context()->mutable_namespace_options()->set_pid(v1::CONTAINER);
    pod_.mutable_metadata()->set_name("p");
  }
  v1::LinuxContainerSecurityContext* context() {
    return container_.mutable_linux()->mutable_security_context();
  }
  v1::NamespaceOption* pod_namespaces() {
    return pod_.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  }
  v1::Mount* AddMount(const std::string& at) {
    v1::Mount* mount = container_.add_mounts();
    mount->set_container_path(at);
    mount->set_host_path("/src");
    return mount;
  }
  absl::StatusOr<runtime::OciSpec> Build() {
    SpecInputs inputs{.pod = pod_, .container = container_, .image = image_};
    inputs.host = host_;
    inputs.namespaces = {.pid_path = "/proc/9/ns/pid_for_children",
                         .ipc_path = "/proc/9/ns/ipc",
                         .net_path = "/proc/9/ns/net",
                         .uts_path = "/proc/9/ns/uts"};
    inputs.namespaces.uid_maps = inputs.namespaces.gid_maps = id_maps_;
    inputs.files_dir = "/files";
    for (const v1::Mount& mount : container_.mounts()) {
      inputs.mounts.push_back(
          {.mount = mount, .host_path = mount.host_path(), .host_propagation = propagation_});
    }
    inputs.volumes = volumes_;
    inputs.devices = devices_;
    inputs.own_devices = own_devices_;
    inputs.user = {.uid = 7, .gid = 8};
    return BuildSpec(inputs);
  }

  v1::PodSandboxConfig pod_;
  v1::ContainerConfig container_;
  storage::Image image_;
  HostFacts host_{.capabilities = ~uint64_t{0} >> 23};
  std::string propagation_ = "private";
  std::map<std::string, std::string> volumes_;
  std::vector<ResolvedDevice> devices_;
  bool own_devices_ = false;
  std::vector<runtime::OciIdMapping> id_maps_;
};

std::vector<std::string> Destinations(const runtime::OciSpec& spec) {
  std::vector<std::string> all;
  for (const runtime::OciMount& mount : spec.mounts) all.push_back(mount.destination);
  return all;
}

TEST_F(SpecTest, ArgvFollowsTheImageUnlessCommandSaysOtherwise) {
  image_.entrypoint = {"/e", "-x"};
  EXPECT_THAT(*BuildArgv(container_, image_), ElementsAre("/e", "-x", "serve"));
  container_.add_args("a");
  EXPECT_THAT(*BuildArgv(container_, image_), ElementsAre("/e", "-x", "a"));
  container_.add_command("c");
  EXPECT_THAT(*BuildArgv(container_, image_), ElementsAre("c", "a"));
  container_.clear_args();
  EXPECT_THAT(*BuildArgv(container_, image_), ElementsAre("c"));
  EXPECT_THAT(BuildArgv(v1::ContainerConfig(), storage::Image()), StatusIs(kInvalid));
}

TEST_F(SpecTest, DevicesBelongToTheUserWhenTheNodeSaysSo) {
  devices_ = {
      {.device = {.type = "c", .path = "/dev/x", .major = 1, .minor = 3, .uid = 0, .gid = 5}}};
  context()->mutable_run_as_user()->set_value(7);
  EXPECT_EQ(Build()->linux_.devices.at(0).uid, 0u);
  own_devices_ = true;
  EXPECT_EQ(Build()->linux_.devices.at(0).uid, 7u);
  EXPECT_EQ(Build()->linux_.devices.at(0).gid, 5u) << "no run_as_group was given";
  context()->mutable_run_as_group()->set_value(8);
  EXPECT_EQ(Build()->linux_.devices.at(0).gid, 8u);
}

TEST_F(SpecTest, AmbientCapabilitiesAreInheritableAndNothingElseIs) {
  context()->mutable_capabilities()->add_drop_capabilities("ALL");
  context()->mutable_capabilities()->add_add_capabilities("KILL");
  context()->mutable_capabilities()->add_add_ambient_capabilities("NET_BIND_SERVICE");
  ASSERT_OK_AND_ASSIGN(const runtime::OciSpec spec, Build());
  const runtime::OciCapabilities& sets = *spec.process.capabilities;
  EXPECT_THAT(sets.ambient, ElementsAre("CAP_NET_BIND_SERVICE"));
  EXPECT_THAT(sets.inheritable, ElementsAre("CAP_NET_BIND_SERVICE"));
  EXPECT_THAT(sets.bounding, ElementsAre("CAP_KILL", "CAP_NET_BIND_SERVICE"));
  context()->mutable_capabilities()->add_drop_capabilities("NET_BIND_SERVICE");
  ASSERT_OK_AND_ASSIGN(const runtime::OciSpec dropped, Build());
  EXPECT_THAT(dropped.process.capabilities->ambient, IsEmpty());
  context()->mutable_capabilities()->add_add_ambient_capabilities("FLY");
  ASSERT_OK_AND_ASSIGN(const runtime::OciSpec unknown, Build());
  EXPECT_THAT(unknown.process.capabilities->ambient, IsEmpty());
}

TEST_F(SpecTest, AChangeOfOneOfAPairKeepsTheOther) {
  runtime::OciResources base;
  base.cpu.quota = 50000;
  base.cpu.period = 20000;
  base.memory.limit = 1000;
  runtime::OciResources change;
  change.cpu.period = 40000;
  change.memory.swap = 3000;
  const runtime::OciResources whole = CompleteChange(base, change);
  EXPECT_EQ(whole.cpu.quota, 50000);
  EXPECT_EQ(whole.cpu.period, 40000u);
  EXPECT_EQ(whole.memory.limit, 1000);
  change = {};
  change.memory.limit = 500;
  EXPECT_FALSE(CompleteChange(base, change).cpu.quota.has_value());
  EXPECT_FALSE(CompleteChange(base, change).memory.swap.has_value());
}

TEST_F(SpecTest, TheLastOfTwoVariablesWins) {
  image_.environment = {"A=1", "PATH=/bin"};
  v1::KeyValue* pair = container_.add_envs();
  pair->set_key("A");
  pair->set_value(std::string("\xff\n", 2));
  ASSERT_OK_AND_ASSIGN(const auto env, BuildEnv(container_, image_, "host", "/root"));
  EXPECT_THAT(env, ElementsAre("PATH=/bin", "HOSTNAME=host", "A=\xff\n", "HOME=/root"));
  pair->set_value(std::string("\0", 1));
  EXPECT_THAT(BuildEnv(container_, image_, "", "/"), StatusIs(kInvalid));
  pair->set_key("A=B");
  EXPECT_THAT(BuildEnv(container_, image_, "", "/"), StatusIs(kInvalid));
}

TEST_F(SpecTest, ImagesWhoseConfigsAreSloppyRun) {
  image_.entrypoint = {""};
  image_.command = {"echo", "hello"};
  EXPECT_THAT(*BuildArgv({}, image_), ElementsAre("echo", "hello"));
  v1::ContainerConfig own;
  own.add_args("other");
  EXPECT_THAT(*BuildArgv(own, image_), ElementsAre("other"));
  image_.command = {};
  EXPECT_THAT(BuildArgv({}, image_), StatusIs(kInvalid));
  image_.entrypoint = {"", "x"};
  EXPECT_THAT(BuildArgv({}, image_), StatusIs(kInvalid));
  image_.environment = {"", "LONE", "=nameless", "A=1", "EMPTY="};
  EXPECT_THAT(*BuildEnv({}, image_, "", "/"),
              ::testing::Not(::testing::Contains(::testing::AnyOf("", "LONE", "=nameless"))));
  EXPECT_THAT(*BuildEnv({}, image_, "", "/"), ::testing::IsSupersetOf({"A=1", "EMPTY="}));
}

TEST_F(SpecTest, SignalsHaveNamesAndNumbers) {
  EXPECT_EQ(*ParseSignal("SIGTERM"), SIGTERM);
  EXPECT_EQ(*ParseSignal("hup"), SIGHUP);
  EXPECT_EQ(*ParseSignal("9"), 9);
  EXPECT_EQ(*ParseSignal("SIGRTMIN+3"), 37);
  EXPECT_EQ(*ParseSignal("RTMAX-1"), 63);
  for (const char* bad : {"", "0", "65", "-1", "SIGNO", "RTMIN+31", "RTMIN-1", "RTMAX+1"}) {
    EXPECT_THAT(ParseSignal(bad), StatusIs(kInvalid)) << bad;
  }
  EXPECT_EQ(*StopSignalOf(container_, image_), SIGTERM);
  image_.stop_signal = "SIGQUIT";
  EXPECT_EQ(*StopSignalOf(container_, image_), SIGQUIT);
  container_.set_stop_signal(v1::SIGNAL_SIGUSR1);
  EXPECT_EQ(*StopSignalOf(container_, image_), SIGUSR1);
  container_.set_stop_signal(static_cast<v1::Signal>(99));
  EXPECT_THAT(StopSignalOf(container_, image_), StatusIs(kInvalid));
  EXPECT_EQ(SignalToCri(37), v1::SIGNAL_SIGRTMINPLUS3);
  EXPECT_EQ(SignalToCri(SIGTERM), v1::SIGNAL_SIGTERM);
}

TEST_F(SpecTest, AGroupNeedsAUser) {
  context()->mutable_run_as_group()->set_value(5);
  EXPECT_THAT(MakeUserRequest(container_, image_), StatusIs(kInvalid));
  context()->mutable_run_as_user()->set_value(5);
  EXPECT_OK(MakeUserRequest(container_, image_));
}

TEST_F(SpecTest, SeccompChoices) {
  const auto choice = [this] { return SelectSeccomp(*context()); };
  EXPECT_EQ(choice()->choice, SeccompChoice::kUnconfined);
  for (const char* text : {"runtime/default", "docker/default"}) {
    context()->set_seccomp_profile_path(text);
    EXPECT_EQ(choice()->choice, SeccompChoice::kDefault);
  }
  context()->set_seccomp_profile_path("localhost//a/b");
  EXPECT_EQ(choice()->path, "/a/b");
  context()->set_seccomp_profile_path("nonsense");
  EXPECT_THAT(choice(), StatusIs(kInvalid));
  // An empty message is RuntimeDefault, and beats the old string.
  context()->mutable_seccomp();
  EXPECT_EQ(choice()->choice, SeccompChoice::kDefault);
  context()->mutable_seccomp()->set_profile_type(v1::SecurityProfile::Localhost);
  context()->mutable_seccomp()->set_localhost_ref("relative");
  EXPECT_THAT(choice(), StatusIs(kInvalid));
  context()->set_privileged(true);
  EXPECT_EQ(choice()->choice, SeccompChoice::kUnconfined);
}

TEST_F(SpecTest, AnAppArmorProfileNeedsAppArmor) {
  context()->set_apparmor_profile("localhost/mine");
  EXPECT_THAT(SelectAppArmor(*context(), host_), StatusIs(absl::StatusCode::kFailedPrecondition));
  host_.apparmor = true;
  EXPECT_EQ(*SelectAppArmor(*context(), host_), "mine");
  context()->mutable_apparmor()->set_profile_type(v1::SecurityProfile::Localhost);
  context()->mutable_apparmor()->set_localhost_ref("localhost/new");
  EXPECT_EQ(*SelectAppArmor(*context(), host_), "new");
  context()->mutable_apparmor()->clear_localhost_ref();
  EXPECT_THAT(SelectAppArmor(*context(), host_), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(SpecTest, TheDefaultAppArmorProfileIsEveryones) {
  EXPECT_EQ(*SelectAppArmor(*context(), host_), "");
  context()->mutable_apparmor()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
  EXPECT_EQ(*SelectAppArmor(*context(), host_), "") << "a kernel without AppArmor";
  host_.apparmor = true;
  EXPECT_THAT(SelectAppArmor(*context(), host_), StatusIs(absl::StatusCode::kFailedPrecondition))
      << "asked for, and there is none";
  host_.default_apparmor = "standard";
  EXPECT_EQ(*SelectAppArmor(*context(), host_), "standard");
  context()->set_privileged(true);
  EXPECT_EQ(*SelectAppArmor(*context(), host_), "");
  context()->set_privileged(false);
  context()->mutable_apparmor()->set_profile_type(v1::SecurityProfile::Unconfined);
  EXPECT_EQ(*SelectAppArmor(*context(), host_), "");
  context()->clear_apparmor();
  EXPECT_EQ(*SelectAppArmor(*context(), host_), "standard") << "nothing said";
  context()->set_apparmor_profile("unconfined");
  EXPECT_EQ(*SelectAppArmor(*context(), host_), "");
  context()->set_apparmor_profile("runtime/default");
  EXPECT_EQ(*SelectAppArmor(*context(), host_), "standard");
}

TEST_F(SpecTest, CapabilitiesAreAddedAndDropped) {
  const auto bounding = [this] { return Build()->process.capabilities->bounding; };
  EXPECT_EQ(bounding().size(), 14u);
  context()->mutable_capabilities()->add_drop_capabilities("ALL");
  EXPECT_THAT(bounding(), IsEmpty());
  context()->mutable_capabilities()->add_add_capabilities("net_admin");
  EXPECT_THAT(bounding(), ElementsAre("CAP_NET_ADMIN"));
  EXPECT_THAT(Build()->process.capabilities->ambient, IsEmpty());
  context()->mutable_capabilities()->add_add_capabilities("NO_SUCH");
  EXPECT_THAT(bounding(), ElementsAre("CAP_NET_ADMIN"))
      << "what cannot be granted does not keep a container away";
  context()->mutable_capabilities()->add_drop_capabilities("NO_SUCH");
  EXPECT_THAT(Build(), StatusIs(kInvalid));
}

TEST_F(SpecTest, PrivilegedNeedsAPrivilegedPod) {
  context()->set_privileged(true);
  context()->add_masked_paths("/proc/kcore");
  EXPECT_THAT(Build(), StatusIs(kInvalid));
  pod_.mutable_linux()->mutable_security_context()->set_privileged(true);
  ASSERT_OK_AND_ASSIGN(const auto spec, Build());
  EXPECT_THAT(spec.linux_.masked_paths, IsEmpty());
  EXPECT_EQ(spec.FindNamespace("cgroup"), nullptr);
}

TEST_F(SpecTest, WhoIsRootInAUserNamespaceOnlyIsNotAmongTheHostsCgroups) {
  context()->set_privileged(true);
  pod_.mutable_linux()->mutable_security_context()->set_privileged(true);
  id_maps_ = {{.container_id = 0, .host_id = 100000, .size = 65536}};
  ASSERT_OK_AND_ASSIGN(const auto spec, Build());
  EXPECT_NE(spec.FindNamespace("cgroup"), nullptr);
}

TEST_F(SpecTest, NamespacesAreThePodsOrTheHosts) {
  ASSERT_OK_AND_ASSIGN(auto spec, Build());
  EXPECT_EQ(spec.FindNamespace("pid")->path, "");
  EXPECT_EQ(spec.FindNamespace("network")->path, "/proc/9/ns/net");
  context()->mutable_namespace_options()->set_pid(v1::POD);
  EXPECT_EQ(Build()->FindNamespace("pid")->path, "/proc/9/ns/pid_for_children");
  context()->mutable_namespace_options()->set_pid(v1::NODE);
  EXPECT_THAT(Build(), StatusIs(kInvalid));
  pod_namespaces()->set_pid(v1::NODE);
  pod_namespaces()->set_network(v1::NODE);
  pod_namespaces()->set_ipc(v1::NODE);
  ASSERT_OK_AND_ASSIGN(spec, Build());
  for (const char* type : {"pid", "network", "ipc", "uts"})
    EXPECT_EQ(spec.FindNamespace(type), nullptr) << type;
  context()->mutable_namespace_options()->set_pid(v1::TARGET);
  EXPECT_THAT(Build(), StatusIs(kInvalid));
}

TEST_F(SpecTest, UserNamespacesHaveOneMappingFromZero) {
  v1::NamespaceOption options;
  v1::UserNamespace* userns = options.mutable_userns_options();
  const auto add = [](auto* list, uint32_t from, uint32_t length) {
    v1::IDMapping* mapping = list->Add();
    mapping->set_container_id(from);
    mapping->set_host_id(100000);
    mapping->set_length(length);
  };
  userns->set_mode(v1::CONTAINER);
  EXPECT_THAT(CheckPodNamespaces(options), StatusIs(kInvalid));
  userns->set_mode(v1::TARGET);
  EXPECT_THAT(CheckPodNamespaces(options), StatusIs(kInvalid));
  userns->set_mode(v1::POD);
  EXPECT_THAT(CheckPodNamespaces(options), StatusIs(kInvalid));
  add(userns->mutable_uids(), 0, 65536);
  add(userns->mutable_gids(), 0, 65536);
  EXPECT_OK(CheckPodNamespaces(options));
  userns->set_mode(v1::NODE);
  EXPECT_THAT(CheckPodNamespaces(options), StatusIs(kInvalid));
  userns->set_mode(v1::POD);
  add(userns->mutable_uids(), 65536, 10);
  EXPECT_THAT(CheckPodNamespaces(options), StatusIs(kInvalid));
  userns->mutable_uids()->RemoveLast();
  userns->mutable_gids(0)->set_container_id(1);
  EXPECT_THAT(CheckPodNamespaces(options), StatusIs(kInvalid));
}

TEST_F(SpecTest, MountsReplaceDefaultsAndParentsComeFirst) {
  AddMount("/data/deep/er");
  AddMount("/data");
  AddMount("/etc/hosts");
  volumes_["/vol"] = "/v/0";
  volumes_["/data"] = "/v/1";
  ASSERT_OK_AND_ASSIGN(const auto spec, Build());
  const std::vector<std::string> at = Destinations(spec);
  const auto place = [&at](const char* path) {
    return std::find(at.begin(), at.end(), path) - at.begin();
  };
  EXPECT_LT(place("/data"), place("/data/deep/er"));
  EXPECT_LT(place("/sys"), place("/sys/fs/cgroup"));
  for (const char* once : {"/data", "/etc/hosts", "/vol", "/etc/resolv.conf"}) {
    EXPECT_EQ(std::count(at.begin(), at.end(), once), 1) << once;
  }
  EXPECT_EQ(spec.mounts[place("/etc/hosts")].source, "/src");
  EXPECT_EQ(spec.mounts[place("/data")].source, "/src");
}

// A volume above the pod's own does not take them away; one in the very place does.
TEST_F(SpecTest, ThePodsOwnLiesOnTopOfVolumes) {
  AddMount("/etc");
  AddMount("/dev");
  AddMount("/sys");
  AddMount("/etc/hosts");
  volumes_["/dev/shm"] = "/v/0";
  ASSERT_OK_AND_ASSIGN(auto spec, Build());
  std::vector<std::string> at = Destinations(spec);
  const auto place = [&at](const char* path) {
    return std::find(at.begin(), at.end(), path) - at.begin();
  };
  for (const char* file : {"/etc/hostname", "/etc/resolv.conf"}) {
    ASSERT_EQ(std::count(at.begin(), at.end(), file), 1) << file;
    EXPECT_LT(place("/etc"), place(file));
    EXPECT_THAT(spec.mounts[place(file)].options, Contains(runtime::kOptionOptional));
  }
  EXPECT_EQ(spec.mounts[place("/etc/hosts")].source, "/src");
  EXPECT_EQ(spec.mounts[place("/dev/shm")].source, "/v/0");
  for (const char* kernels : {"/dev/pts", "/dev/mqueue", "/sys/fs/cgroup"}) {
    EXPECT_EQ(std::count(at.begin(), at.end(), kernels), 0) << kernels;
  }
  volumes_ = {{"/etc", "/v/0"}, {"/dev", "/v/1"}};
  container_.clear_mounts();
  ASSERT_OK_AND_ASSIGN(spec, Build());
  at = Destinations(spec);
  EXPECT_LT(place("/etc"), place("/etc/hosts"));
  EXPECT_LT(place("/dev"), place("/dev/shm"));
  EXPECT_EQ(spec.mounts[place("/dev/shm")].source, runtime::kPodShmSource);
  volumes_.clear();
  ASSERT_OK_AND_ASSIGN(spec, Build());
  at = Destinations(spec);
  EXPECT_THAT(spec.mounts[place("/etc/hosts")].options, Not(Contains(runtime::kOptionOptional)));
}

TEST_F(SpecTest, PropagationNeedsASharedHostMount) {
  v1::Mount* mount = AddMount("/data");
  mount->set_propagation(v1::PROPAGATION_BIDIRECTIONAL);
  EXPECT_THAT(Build(), StatusIs(kInvalid, HasSubstr("shared")));
  propagation_ = "slave";
  EXPECT_THAT(Build(), StatusIs(kInvalid));
  mount->set_propagation(v1::PROPAGATION_HOST_TO_CONTAINER);
  EXPECT_EQ(Build()->linux_.rootfs_propagation, "rslave");
  propagation_ = "shared";
  mount->set_propagation(v1::PROPAGATION_BIDIRECTIONAL);
  EXPECT_EQ(Build()->linux_.rootfs_propagation, "rshared");
}

TEST_F(SpecTest, ImpossibleMountsAreRefused) {
  const auto check = [](void (*edit)(v1::Mount&)) {
    v1::Mount mount;
    mount.set_container_path("/data");
    mount.set_host_path("/src");
    edit(mount);
    return CheckMount(mount);
  };
  EXPECT_OK(check([](v1::Mount&) {}));
  // The kubelet fills it in for the sub-paths of every volume.
  EXPECT_OK(check([](v1::Mount& m) { m.set_image_sub_path("part"); }));
  EXPECT_THAT(check([](v1::Mount& m) { m.set_container_path("data"); }), StatusIs(kInvalid));
  EXPECT_THAT(check([](v1::Mount& m) { m.set_container_path("/a/.."); }), StatusIs(kInvalid));
  EXPECT_THAT(check([](v1::Mount& m) { m.set_host_path("src"); }), StatusIs(kInvalid));
  EXPECT_THAT(check([](v1::Mount& m) { m.set_recursive_read_only(true); }), StatusIs(kInvalid));
  EXPECT_THAT(check([](v1::Mount& m) {
                m.set_readonly(true);
                m.set_recursive_read_only(true);
                m.set_propagation(v1::PROPAGATION_HOST_TO_CONTAINER);
              }),
              StatusIs(kInvalid));
  EXPECT_THAT(check([](v1::Mount& m) { m.mutable_image()->set_image("i"); }), StatusIs(kInvalid));
  EXPECT_THAT(check([](v1::Mount& m) {
                m.clear_host_path();
                m.mutable_image()->set_image("i");
              }),
              StatusIs(kInvalid));
  EXPECT_THAT(check([](v1::Mount& m) { m.add_mount_options("suid"); }), StatusIs(kInvalid));
  EXPECT_OK(check([](v1::Mount& m) { m.add_mount_options("noexec"); }));
}

TEST_F(SpecTest, ResourcesThatAreZeroAreUnset) {
  v1::LinuxContainerResources limits;
  ASSERT_OK_AND_ASSIGN(auto oci, BuildResources(limits, host_));
  EXPECT_EQ(oci, runtime::OciResources());
  limits.set_memory_limit_in_bytes(1000);
  limits.set_cpu_quota(-1);
  ASSERT_OK_AND_ASSIGN(oci, BuildResources(limits, host_));
  EXPECT_EQ(*oci.memory.swap, 1000);  // none besides the memory
  EXPECT_EQ(*oci.cpu.quota, -1);
  limits.set_memory_swap_limit_in_bytes(10);
  EXPECT_THAT(BuildResources(limits, host_), StatusIs(kInvalid));
  limits.set_memory_swap_limit_in_bytes(2000);
  v1::HugepageLimit* page = limits.add_hugepage_limits();
  page->set_page_size("2MB");
  EXPECT_OK(BuildResources(limits, host_));
  page->set_limit(4 << 20);
  // Without the controller it is overlooked; with it the size must be there.
  ASSERT_OK_AND_ASSIGN(oci, BuildResources(limits, host_));
  EXPECT_THAT(oci.hugepage_limits, IsEmpty());
  host_.hugepage_sizes = {"1GB"};
  EXPECT_THAT(BuildResources(limits, host_), StatusIs(kInvalid));
  host_.hugepage_sizes = {"2MB"};
  EXPECT_EQ(BuildResources(limits, host_)->hugepage_limits.size(), 1u);
  (*limits.mutable_unified())["memory.high"] = "1";
  EXPECT_THAT(BuildResources(limits, host_), StatusIs(kInvalid));
}

TEST_F(SpecTest, MergingKeepsWhatTheChangeLeavesOut) {
  v1::LinuxContainerResources base, change;
  base.set_cpu_shares(2);
  base.set_cpu_quota(5);
  base.add_hugepage_limits()->set_page_size("2MB");
  change.set_cpu_quota(7);
  change.add_hugepage_limits()->set_page_size("2MB");
  change.mutable_hugepage_limits(0)->set_limit(9);
  const v1::LinuxContainerResources merged = MergeCriResources(base, change);
  EXPECT_EQ(merged.cpu_shares(), 2);
  EXPECT_EQ(merged.cpu_quota(), 7);
  ASSERT_EQ(merged.hugepage_limits_size(), 1);
  EXPECT_EQ(merged.hugepage_limits(0).limit(), 9u);
}

TEST(HostFacts, FindsTheMountThatHoldsAPath) {
  constexpr char kText[] =
      "1 0 8:1 / / rw shared:1 - ext4 /dev/a rw\n"
      "2 1 8:2 / /mnt rw master:1 - ext4 /dev/b rw\n"
      "3 1 8:3 / /mnt/x rw - ext4 /dev/c rw\n"
      "4 3 8:3 / /mnt/x/with\\040space rw master:2 - ext4 /dev/d rw\n"
      "broken line\n";
  EXPECT_EQ(PropagationOf(kText, "/etc"), "shared");
  EXPECT_EQ(PropagationOf(kText, "/mnt"), "slave");
  EXPECT_EQ(PropagationOf(kText, "/mntx"), "shared");
  EXPECT_EQ(PropagationOf(kText, "/mnt/x/y"), "private");
  EXPECT_EQ(PropagationOf(kText, "/mnt/x/with space/y"), "slave");
}

}  // namespace
}  // namespace crisp::cri
