// Requests as a kubelet of Kubernetes 1.30 makes them: nothing that the CRI has got since may be
// needed, and what such a kubelet reads in replies must be there.
#include <grpcpp/grpcpp.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "base/testing/status_matchers.h"
#include "daemon.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "node.h"

namespace crisp::e2e {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Fields that came after 1.30, and with which version. The RPCs of that time on:
// UpdatePodSandboxResources (1.33), the six Stream… ones (1.36), CheckpointPod and RestorePod
// (after 1.37).
const std::map<std::string, std::string>& NewerFields() {
  static const auto& fields = *new std::map<std::string, std::string>{
      {"LinuxContainerSecurityContext.supplemental_groups_policy", "1.31"},
      {"LinuxSandboxSecurityContext.supplemental_groups_policy", "1.31"},
      {"Mount.image", "1.31"},
      {"Mount.image_sub_path", "1.33"},
      {"ContainerConfig.stop_signal", "1.33"},
      {"ImageSpec.image_ref", "1.36"},
      {"Mount.mount_options", "1.37"}};
  return fields;
}

void FindNewer(const Message& message, std::set<std::string>& found) {
  std::vector<const FieldDescriptor*> fields;
  const auto& reflection = *message.GetReflection();
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::string name = absl::StrCat(message.GetDescriptor()->name(), ".", field->name());
    if (NewerFields().contains(name)) found.insert(name);
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field->is_map()) continue;
    if (!field->is_repeated()) FindNewer(reflection.GetMessage(message, field), found);
    for (int i = 0; field->is_repeated() && i < reflection.FieldSize(message, field); ++i) {
      FindNewer(reflection.GetRepeatedMessage(message, field, i), found);
    }
  }
}

std::set<std::string> NewerIn(const Message& message) {
  std::set<std::string> found;
  FindNewer(message, found);
  return found;
}

TEST(OlderKubeletApi, TheListOfNewerFieldsIsOfThisApi) {
  for (const auto& [name, version] : NewerFields()) {
    const auto* field =
        cri::Mount::descriptor()->file()->pool()->FindFieldByName("runtime.v1." + name);
    EXPECT_NE(field, nullptr) << name;
  }
  cri::ContainerConfig config;
  config.add_mounts()->add_mount_options("noexec");
  EXPECT_THAT(NewerIn(config), ::testing::ElementsAre("Mount.mount_options"));
}

class OlderKubelet : public ::testing::Test {
 protected:
  void SetUp() override {
    daemon_.Start();
    node_ = std::make_unique<Node>(daemon_, daemon_.ImportImage());
  }
  void TearDown() override { node_->RemoveAll(); }

  cri::PodSandboxConfig Pod() const {
    return node_->PodConfig("old", [](auto& c) {
      c.mutable_metadata()->set_attempt(1);
      c.mutable_dns_config()->add_servers("10.96.0.10");
      c.mutable_dns_config()->add_searches("default.svc.cluster.local");
      c.mutable_dns_config()->add_options("ndots:5");
      (*c.mutable_labels())["io.kubernetes.pod.name"] = "old";
      (*c.mutable_annotations())["kubernetes.io/config.source"] = "api";
      auto* sandbox = c.mutable_linux();
      (*sandbox->mutable_sysctls())["net.ipv4.ip_unprivileged_port_start"] = "0";
      sandbox->mutable_overhead();
      sandbox->mutable_resources()->set_cpu_shares(2);
      auto* security = sandbox->mutable_security_context();
      security->mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
      security->mutable_namespace_options()->set_pid(cri::NamespaceMode::CONTAINER);
    });
  }
  cri::ContainerConfig Container() const {
    return node_->ContainerConfig("c", {"sh", "-c", "echo started; sleep 1000"}, [this](auto& c) {
      c.mutable_image()->set_user_specified_image("crisp.test/busybox");
      (*c.mutable_image()->mutable_annotations())["a"] = "b";
      c.set_log_path("c/0.log");
      c.add_envs()->set_key("KUBERNETES_SERVICE_HOST");
      c.mutable_envs(0)->set_value("10.96.0.1");
      auto* mount = c.add_mounts();
      mount->set_host_path(daemon_.scratch() + "/volume");
      mount->set_container_path("/dev/termination-log");
      mount->set_selinux_relabel(true);
      auto* limits = c.mutable_linux()->mutable_resources();
      limits->set_cpu_period(100000);
      limits->set_cpu_quota(50000);
      limits->set_cpu_shares(102);
      limits->set_memory_limit_in_bytes(64 << 20);
      limits->set_oom_score_adj(985);
      limits->add_hugepage_limits()->set_page_size("2MB");
      auto* security = c.mutable_linux()->mutable_security_context();
      security->mutable_run_as_user()->set_value(1000);
      security->add_supplemental_groups(2000);
      security->set_no_new_privs(true);
      security->add_masked_paths("/proc/kcore");
      security->add_readonly_paths("/proc/sys");
      // 1.30 sends old and new spelling.
      security->set_seccomp_profile_path("runtime/default");
      security->mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
      security->set_apparmor_profile("unconfined");
      security->mutable_capabilities()->add_drop_capabilities("NET_RAW");
    });
  }

  Daemon daemon_;
  std::unique_ptr<Node> node_;
};

TEST_F(OlderKubelet, TheWholeLifeOfAPod) {
  const cri::PodSandboxConfig pod_config = Pod();
  const cri::ContainerConfig config = Container();
  ASSERT_THAT(NewerIn(pod_config), ::testing::IsEmpty());
  ASSERT_THAT(NewerIn(config), ::testing::IsEmpty());
  const std::string pod = node_->RunPod(pod_config);
  const std::string id = node_->Run(pod, pod_config, config);
  const cri::PodSandboxStatus pod_status = node_->PodStatus(pod);
  EXPECT_EQ(pod_status.state(), cri::SANDBOX_READY);
  EXPECT_EQ(pod_status.metadata().attempt(), 1u);
  EXPECT_NE(pod_status.network().ip(), "");
  const cri::ContainerStatus status = node_->Await(id, cri::CONTAINER_RUNNING);
  EXPECT_EQ(status.image().user_specified_image(), "crisp.test/busybox");
  EXPECT_NE(status.image_ref(), "");
  EXPECT_NE(status.image_id(), "");
  EXPECT_EQ(status.resources().linux().memory_limit_in_bytes(), 64 << 20);
  EXPECT_EQ(status.mounts_size(), 1);
  EXPECT_EQ(node_->Shell(id,
                         "id -u; cat /proc/1/oom_score_adj; cat /etc/resolv.conf | head -1; echo "
                         "$KUBERNETES_SERVICE_HOST"),
            "1000\n985\nsearch default.svc.cluster.local\n10.96.0.1");
  EXPECT_EQ(node_->Shell(id, "id -G | tr ' ' '\\n' | grep 2000"), "2000")
      << "without a policy it is Merge";

  cri::StatusResponse node;
  grpc::ClientContext context;
  ASSERT_TRUE(daemon_.runtime().Status(&context, {}, &node).ok());
  std::set<std::string> conditions;
  for (const auto& condition : node.status().conditions()) conditions.insert(condition.type());
  EXPECT_THAT(conditions, ::testing::IsSupersetOf({"RuntimeReady", "NetworkReady"}));

  node_->Stop(id, 0);
  const cri::ContainerStatus ended = node_->Await(id, cri::CONTAINER_EXITED);
  EXPECT_EQ(ended.exit_code(), 137);
  EXPECT_EQ(ended.reason(), "Error");
  node_->Remove(id);
  node_->StopPod(pod);
  node_->StopPod(pod);
  node_->RemovePod(pod);
}

}  // namespace
}  // namespace crisp::e2e
