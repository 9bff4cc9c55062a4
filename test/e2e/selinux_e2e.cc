// Labels, on a kernel that has SELinux with a policy that knows containers (hack/vm.sh --lsm
// selinux).
#include <grpcpp/grpcpp.h>
#include <sys/xattr.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/testing/status_matchers.h"
#include "daemon.h"
#include "node.h"

namespace crisp::e2e {
namespace {

using ::testing::ContainsRegex;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

constexpr char kPair[] = "s0:c[0-9]+,c[0-9]+";
constexpr char kCurrent[] = "tr -d '\\0' </proc/self/attr/current";

bool HasSelinux() { return ReadFile("/sys/fs/selinux/enforce").ok(); }
bool Enforcing() { return ReadFile("/sys/fs/selinux/enforce").value_or("0") == "1"; }

std::string LabelOf(const std::string& path) {
  char value[256] = {};
  return ::lgetxattr(path.c_str(), "security.selinux", value, sizeof(value) - 1) < 0
             ? ""
             : std::string(value);
}

// The level of a label: what is behind its third colon.
std::string LevelOf(const std::string& label) {
  size_t at = 0;
  for (int i = 0; i < 3 && at != std::string::npos; ++i) at = label.find(':', at == 0 ? 0 : at + 1);
  return at == std::string::npos ? "" : label.substr(at + 1);
}

class Selinux : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!HasSelinux()) GTEST_SKIP() << "no SELinux in this kernel";
    daemon_ = std::make_unique<Daemon>();
    daemon_->Start();
    node_ = std::make_unique<Node>(*daemon_, daemon_->ImportImage());
  }
  void TearDown() override {
    if (node_ != nullptr) node_->RemoveAll();
  }

  struct Running {
    cri::PodSandboxConfig config;
    std::string pod, container;
  };
  Running Run(const std::string& name,
              const PodEdit& pod_edit = nullptr,
              const ContainerEdit& edit = nullptr) {
    Running running{.config = node_->PodConfig(name, pod_edit)};
    running.pod = node_->RunPod(running.config);
    running.container = node_->Run(running.pod, running.config,
                                   node_->ContainerConfig("c", {"sleep", "600"}, edit));
    return running;
  }
  static cri::SELinuxOption* Options(cri::ContainerConfig& c) {
    return c.mutable_linux()->mutable_security_context()->mutable_selinux_options();
  }
  static void AddVolume(cri::ContainerConfig& c, const std::string& host, bool relabel) {
    cri::Mount* mount = c.add_mounts();
    mount->set_host_path(host);
    mount->set_container_path("/volume");
    mount->set_selinux_relabel(relabel);
  }

  std::unique_ptr<Daemon> daemon_;
  std::unique_ptr<Node> node_;
};

TEST_F(Selinux, EveryPodHasALevelOfItsOwnAndItsContainersShareIt) {
  const Running a = Run("a"), b = Run("b");
  const std::string second =
      node_->Run(a.pod, a.config, node_->ContainerConfig("second", {"sleep", "600"}));
  const std::string of_a = node_->Shell(a.container, kCurrent),
                    of_b = node_->Shell(b.container, kCurrent);
  EXPECT_THAT(of_a, MatchesRegex(absl::StrCat("system_u:system_r:container_t:", kPair)));
  EXPECT_THAT(of_b, MatchesRegex(absl::StrCat("system_u:system_r:container_t:", kPair)));
  EXPECT_NE(of_a, of_b);
  EXPECT_EQ(node_->Shell(second, kCurrent), of_a);
  EXPECT_EQ(node_->Shell(a.container, "tr -d '\\0' </proc/1/attr/current"), of_a)
      << "init, not only execs";
}

TEST_F(Selinux, FileSystemsAndFilesHaveThePodsLabel) {
  const Running run = Run("files");
  const std::string level = LevelOf(node_->Shell(run.container, kCurrent));
  const std::string context =
      absl::StrCat("context=\"system_u:object_r:container_file_t:", level, "\"");
  const std::string mounts = node_->Shell(run.container, "cat /proc/self/mountinfo");
  for (const char* point : {" / ", " /dev ", " /dev/shm ", " /dev/pts "}) {
    const size_t at = mounts.find(point);
    ASSERT_NE(at, std::string::npos) << point << mounts;
    EXPECT_THAT(mounts.substr(at, mounts.find('\n', at) - at), HasSubstr(context)) << point;
  }
  EXPECT_EQ(node_
                ->Exec(run.container,
                       {"sh", "-c",
                        "touch /new /dev/shm/new && cat /etc/hosts /etc/resolv.conf /etc/hostname"})
                .exit_code,
            0);
}

TEST_F(Selinux, OptionsOfThePodAndTheContainerCount) {
  const Running run = Run("options", [](auto& p) {
    p.mutable_linux()->mutable_security_context()->mutable_selinux_options()->set_level("s0:c4,c5");
  });
  EXPECT_THAT(node_->Shell(run.container, kCurrent), EndsWith("container_t:s0:c4,c5"));
  const std::string own =
      node_->Run(run.pod, run.config, node_->ContainerConfig("own", {"sleep", "600"}, [](auto& c) {
        Options(c)->set_level("s0:c6,c7");
        Options(c)->set_type("svirt_lxc_net_t");
      }));
  EXPECT_THAT(node_->Shell(own, kCurrent), EndsWith(":container_t:s0:c6,c7"))
      << "an alias of the type";
}

TEST_F(Selinux, WhatThePolicyDoesNotKnowIsRefused) {
  const auto config = node_->PodConfig("refused");
  const std::string pod = node_->RunPod(config);
  for (const auto& [type, level] :
       {std::pair{"no_such_t", ""}, {"", "s0,c4,c5"}, {"", "s0:c4000"}, {"a:b", ""}}) {
    std::string id;
    const grpc::Status status =
        node_->TryCreate(pod, config,
                         node_->ContainerConfig("c", {"true"},
                                                [&](auto& c) {
                                                  Options(c)->set_type(type);
                                                  Options(c)->set_level(level);
                                                }),
                         &id);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << type << level << status.error_message();
  }
  EXPECT_TRUE(node_->Containers().empty());
  std::string id;
  const grpc::Status bad_pod = node_->TryRunPod(
      node_->PodConfig(
          "bad",
          [](auto& p) {
            p.mutable_linux()->mutable_security_context()->mutable_selinux_options()->set_user(
                "nobody_u");
          }),
      &id);
  EXPECT_EQ(bad_pod.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << bad_pod.error_message();
}

TEST_F(Selinux, PrivilegedAndHostPidAreUnconfined) {
  const Running run = Run(
      "privileged",
      [](auto& p) { p.mutable_linux()->mutable_security_context()->set_privileged(true); },
      [](auto& c) { c.mutable_linux()->mutable_security_context()->set_privileged(true); });
  EXPECT_EQ(node_->Shell(run.container, kCurrent), "system_u:system_r:spc_t:s0");
  const auto host_pid = [](auto& namespaces) { namespaces.set_pid(cri::NODE); };
  const Running among = Run(
      "among",
      [&](auto& p) {
        host_pid(*p.mutable_linux()->mutable_security_context()->mutable_namespace_options());
      },
      [&](auto& c) {
        host_pid(*c.mutable_linux()->mutable_security_context()->mutable_namespace_options());
      });
  EXPECT_EQ(node_->Shell(among.container, kCurrent), "system_u:system_r:spc_t:s0");
}

void MapUsers(cri::NamespaceOption& options) {
  cri::UserNamespace* const userns = options.mutable_userns_options();
  userns->set_mode(cri::POD);
  for (auto* map : {userns->add_uids(), userns->add_gids()}) {
    map->set_host_id(200000);
    map->set_length(65536);
  }
}

// Pid 1 of such a pod is nobody's container. An ordinary pod gets a shim that was made before it,
// the others never.
TEST_F(Selinux, PidOneOfASharedNamespaceHasThePodsLabel) {
  for (const std::string kind : {"ordinary", "host-network", "mapped"}) {
    if (kind == "mapped" && !node_->RunsUserNamespaces()) continue;
    const auto edit = [&](auto& message) {
      auto& options =
          *message.mutable_linux()->mutable_security_context()->mutable_namespace_options();
      options.set_pid(cri::POD);
      if (kind == "host-network") options.set_network(cri::NODE);
      if (kind == "mapped") MapUsers(options);
    };
    SCOPED_TRACE(kind);
    const Running run = Run(kind, edit, edit);
    ASSERT_EQ(node_->Shell(run.container, "cat /proc/1/comm"), "crisp-pause");
    const std::string label = node_->Shell(run.container, "tr -d '\\0' </proc/1/attr/current");
    EXPECT_EQ(label, node_->Shell(run.container, kCurrent));
    EXPECT_THAT(label, MatchesRegex(absl::StrCat("system_u:system_r:container_t:", kPair)));
    const std::string context =
        absl::StrCat("context=\"system_u:object_r:container_file_t:", LevelOf(label), "\"");
    // The empty directory that pid 1 sees, and the pod's shared memory.
    EXPECT_THAT(node_->Shell(run.container, "cat /proc/1/mountinfo"), HasSubstr(context));
    EXPECT_THAT(node_->Shell(run.container, "grep ' /dev/shm ' /proc/self/mountinfo"),
                HasSubstr(context));
    EXPECT_EQ(node_->Exec(run.container, {"ls", "/dev/mqueue", "/dev/shm", "/"}).exit_code, 0);
  }
  const auto privileged = [](auto& message) {
    auto* context = message.mutable_linux()->mutable_security_context();
    context->mutable_namespace_options()->set_pid(cri::POD);
    context->set_privileged(true);
  };
  const Running run = Run("privileged", privileged, privileged);
  EXPECT_EQ(node_->Shell(run.container, "tr -d '\\0' </proc/1/attr/current"),
            "system_u:system_r:spc_t:s0");
}

TEST_F(Selinux, WhatIsMaskedIsEmptyNotForbidden) {
  const Running run = Run("masked", nullptr, [](auto& c) {
    for (const char* path : {"/proc/sys", "/proc/version"}) {
      c.mutable_linux()->mutable_security_context()->add_masked_paths(path);
    }
  });
  const ExecOutput listed = node_->Exec(run.container, {"ls", "-A", "/proc/sys"});
  EXPECT_EQ(listed.exit_code, 0) << listed.err;
  EXPECT_EQ(listed.out, "");
  const ExecOutput read = node_->Exec(run.container, {"cat", "/proc/version"});
  EXPECT_EQ(read.exit_code, 0) << read.err;
  EXPECT_EQ(read.out, "");
}

TEST_F(Selinux, VolumesAreRelabelledWhenAskedForAndKeptFromOtherPods) {
  const std::string volume = daemon_->scratch() + "/volume";
  ASSERT_OK(MakeDirs(volume + "/sub"));
  ASSERT_OK(AtomicWriteFile(volume + "/sub/secret", "mine", 0666, Durability::kNone));
  const std::string before = LabelOf(volume);
  const Running other = Run("other", nullptr, [&](auto& c) { AddVolume(c, volume, false); });
  EXPECT_EQ(LabelOf(volume), before) << "nobody asked";
  const Running owner = Run("owner", nullptr, [&](auto& c) { AddVolume(c, volume, true); });
  const std::string level = LevelOf(node_->Shell(owner.container, kCurrent));
  for (const char* name : {"", "/sub", "/sub/secret"}) {
    EXPECT_EQ(LabelOf(volume + name), absl::StrCat("system_u:object_r:container_file_t:", level))
        << name;
  }
  EXPECT_EQ(node_->Shell(owner.container, "cat /volume/sub/secret"), "mine");
  if (!Enforcing()) return;
  const ExecOutput denied = node_->Exec(other.container, {"cat", "/volume/sub/secret"});
  EXPECT_NE(denied.exit_code, 0);
  EXPECT_THAT(denied.err, HasSubstr("Permission denied"));
}

TEST_F(Selinux, TheSystemsDirectoriesAreNotRelabelled) {
  const auto config = node_->PodConfig("system");
  const std::string pod = node_->RunPod(config);
  const std::string before = LabelOf("/etc");
  std::string id;
  const grpc::Status status = node_->TryCreate(
      pod, config,
      node_->ContainerConfig("c", {"true"}, [](auto& c) { AddVolume(c, "/etc", true); }), &id);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("/etc"));
  EXPECT_EQ(LabelOf("/etc"), before);
}

TEST_F(Selinux, ContainersOfAnEnforcingHostStayInside) {
  if (!Enforcing()) GTEST_SKIP() << "SELinux is permissive";
  const std::string host = daemon_->scratch() + "/host";
  ASSERT_OK(MakeDirs(host));
  const Running run = Run("inside", nullptr, [&](auto& c) { AddVolume(c, host, false); });
  const ExecOutput denied = node_->Exec(run.container, {"touch", "/volume/new"});
  EXPECT_NE(denied.exit_code, 0);
  EXPECT_THAT(denied.err, HasSubstr("Permission denied"));
}

TEST_F(Selinux, LevelsOutliveTheDaemon) {
  const Running before = Run("before");
  const std::string label = node_->Shell(before.container, kCurrent);
  daemon_->Kill();
  daemon_->Start();
  EXPECT_EQ(node_->Shell(before.container, kCurrent), label) << "an exec by the new daemon";
  const std::string second =
      node_->Run(before.pod, before.config, node_->ContainerConfig("second", {"sleep", "600"}));
  EXPECT_EQ(node_->Shell(second, kCurrent), label);
}

// A kernel without SELinux is the other half.
ContainerEdit WithType(const std::string& type) {
  return [type](auto& c) {
    c.mutable_linux()->mutable_security_context()->mutable_selinux_options()->set_type(type);
  };
}
PodEdit PodWithType(const std::string& type) {
  return [type](auto& c) {
    c.mutable_linux()->mutable_security_context()->mutable_selinux_options()->set_type(type);
  };
}

TEST(NoSelinux, LabelsThatAreAskedForAreOverlooked) {
  if (HasSelinux()) GTEST_SKIP() << "this kernel has SELinux";
  Daemon daemon;
  daemon.Start();
  Node node(daemon, daemon.ImportImage());
  const auto config = node.PodConfig("labelled", PodWithType("container_t"));
  const std::string pod = node.RunPod(config);
  const std::string id =
      node.Run(pod, config, node.ContainerConfig("c", {"sleep", "1000"}, WithType("container_t")));
  EXPECT_EQ(node.Shell(id, "echo fine"), "fine");
  node.RemoveAll();
}

}  // namespace
}  // namespace crisp::e2e
