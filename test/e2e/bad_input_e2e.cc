// Requests with missing or absurd fields: a clear code, nothing left, the daemon serves on.
#include <grpcpp/grpcpp.h>

#include "absl/strings/str_cat.h"
#include "base/status_matchers.h"
#include "daemon.h"
#include "node.h"

namespace crisp::e2e {
namespace {

class BadInput : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    daemon_ = new Daemon();
    daemon_->Start();
    node_ = new Node(*daemon_, daemon_->ImportImage());
  }
  static void TearDownTestSuite() {
    delete node_;
    delete daemon_;
  }
  void TearDown() override {
    node_->RemoveAll();
    cri::VersionResponse response;
    grpc::ClientContext context;
    EXPECT_TRUE(daemon_->runtime().Version(&context, {}, &response).ok());
  }
  static void ExpectRefusedPod(const cri::PodSandboxConfig& config, const char* why) {
    std::string id;
    const grpc::Status status = node_->TryRunPod(config, &id);
    EXPECT_FALSE(status.ok()) << why;
    EXPECT_NE(status.error_code(), grpc::StatusCode::INTERNAL) << why << ": " << status.error_message();
    EXPECT_NE(status.error_message(), "") << why;
    EXPECT_THAT(node_->Pods(), ::testing::IsEmpty()) << why;
  }
  static Daemon* daemon_;
  static Node* node_;
};
Daemon* BadInput::daemon_;
Node* BadInput::node_;

TEST_F(BadInput, PodsThatCannotBe) {
  ExpectRefusedPod({}, "no metadata");
  ExpectRefusedPod(node_->PodConfig("p", [](auto& c) { c.mutable_metadata()->set_name(""); }), "no name");
  ExpectRefusedPod(node_->PodConfig("p", [](auto& c) { c.set_hostname(std::string(300, 'h')); }), "long hostname");
  ExpectRefusedPod(node_->PodConfig("p", [](auto& c) { (*c.mutable_linux()->mutable_sysctls())["kernel.core_pattern"] = "|/x"; }),
                   "a sysctl of the host");
  ExpectRefusedPod(node_->PodConfig("p", [](auto& c) { (*c.mutable_linux()->mutable_sysctls())["net.ipv4.ip_forward"] = "1\n+x=y"; }),
                   "a sysctl with a newline");
  ExpectRefusedPod(node_->PodConfig("p", [](auto& c) { c.mutable_dns_config()->add_servers("1.1.1.1\nsearch evil"); }),
                   "a DNS server with a newline");
  ExpectRefusedPod(node_->PodConfig("p", [](auto& c) { c.mutable_linux()->set_cgroup_parent("/../../etc"); }), "cgroup_parent upwards");
  ExpectRefusedPod(node_->PodConfig("p", [](auto& c) {
                     auto* m = c.add_port_mappings();
                     m->set_host_port(70000);
                     m->set_container_port(80);
                   }), "port out of range");
  ExpectRefusedPod(node_->PodConfig("p", [](auto& c) {
                     c.mutable_linux()->mutable_security_context()->mutable_run_as_group()->set_value(5);
                   }), "group without user");
  ExpectRefusedPod(node_->PodConfig("p", [](auto& c) {
                     auto* u = c.mutable_linux()->mutable_security_context()->mutable_namespace_options()->mutable_userns_options();
                     u->set_mode(cri::NamespaceMode::POD);
                     u->add_uids()->set_length(0);
                     u->add_gids()->set_length(0);
                   }), "empty id mapping");
}

TEST_F(BadInput, UnknownRuntimeHandler) {
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = node_->PodConfig("handler");
  request.set_runtime_handler("no-such");
  cri::RunPodSandboxResponse response;
  grpc::ClientContext context;
  EXPECT_FALSE(daemon_->runtime().RunPodSandbox(&context, request, &response).ok());
}

TEST_F(BadInput, ContainersThatCannotBe) {
  const auto pod_config = node_->PodConfig("pod");
  const std::string pod = node_->RunPod(pod_config);
  const auto refuse = [&](const char* why, const ContainerEdit& edit) {
    std::string id;
    const grpc::Status status = node_->TryCreate(pod, pod_config, node_->ContainerConfig("c", {"true"}, edit), &id);
    EXPECT_FALSE(status.ok()) << why;
    EXPECT_NE(status.error_code(), grpc::StatusCode::INTERNAL) << why << ": " << status.error_message();
    EXPECT_THAT(node_->Containers(), ::testing::IsEmpty()) << why;
  };
  refuse("no metadata", [](auto& c) { c.clear_metadata(); });
  refuse("absent image", [](auto& c) { c.mutable_image()->set_image("no.such/image:1"); });
  refuse("no image", [](auto& c) { c.clear_image(); });
  refuse("unknown capability", [](auto& c) {
    c.mutable_linux()->mutable_security_context()->mutable_capabilities()->add_add_capabilities("FLY");
  });
  refuse("absent seccomp profile", [](auto& c) {
    auto* s = c.mutable_linux()->mutable_security_context()->mutable_seccomp();
    s->set_profile_type(cri::SecurityProfile::Localhost);
    s->set_localhost_ref("/no/such/profile.json");
  });
  refuse("negative user", [](auto& c) { c.mutable_linux()->mutable_security_context()->mutable_run_as_user()->set_value(-1); });
  refuse("user beyond 32 bits", [](auto& c) {
    c.mutable_linux()->mutable_security_context()->mutable_run_as_user()->set_value(1ll << 32);
  });
  refuse("relative mount target", [](auto& c) {
    c.add_mounts()->set_host_path("/tmp");
    c.mutable_mounts(0)->set_container_path("relative");
  });
  refuse("log path upwards", [](auto& c) { c.set_log_path("../../escape.log"); });
  refuse("NUL in argv", [](auto& c) { c.add_args(std::string("a\0b", 3)); });
  refuse("privileged in a plain pod", [](auto& c) { c.mutable_linux()->mutable_security_context()->set_privileged(true); });
  refuse("absent target", [](auto& c) {
    auto* o = c.mutable_linux()->mutable_security_context()->mutable_namespace_options();
    o->set_pid(cri::NamespaceMode::TARGET);
    o->set_target_id(std::string(64, 'a'));
  });
  refuse("bad cpuset", [](auto& c) { c.mutable_linux()->mutable_resources()->set_cpuset_cpus("0-99999;x"); });
}

TEST_F(BadInput, UnknownIds) {
  EXPECT_TRUE(node_->TryStopPod(std::string(64, 'f')).ok());
  EXPECT_TRUE(node_->TryRemovePod(std::string(64, 'f')).ok());
  EXPECT_TRUE(node_->TryStop(std::string(64, 'f'), 0).ok());
  EXPECT_TRUE(node_->TryRemove(std::string(64, 'f')).ok());
  EXPECT_EQ(node_->TryStart(std::string(64, 'f')).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(node_->TryStart("../../etc").error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(node_->TryStart("").error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(BadInput, HostPortTakenTwiceNamesTheOwner) {
  const int port = 45000 + getpid() % 10000;
  const auto publish = [&](auto& c) {
    auto* m = c.add_port_mappings();
    m->set_host_port(port);
    m->set_container_port(80);
  };
  node_->RunPod(node_->PodConfig("first", publish));
  std::string id;
  const grpc::Status status = node_->TryRunPod(node_->PodConfig("second", publish), &id);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.error_message(), ::testing::HasSubstr(absl::StrCat(port)));
  EXPECT_THAT(node_->Pods(), ::testing::SizeIs(1));
}

}  // namespace
}  // namespace crisp::e2e
