// Which pods take a spare shim whose network is prepared.

#include "base/testing/eventually.h"
#include "cri/pods/testing/pod_manager_fixture.h"

namespace crisp::cri {
namespace {

using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class PodSparesTest : public PodManagerTest {
 protected:
  PodSparesTest() {
    spare_pods_ = 2;
    attach_spares_ = true;
  }
  // As many in all the manager's lives.
  void AwaitPrepared(size_t count) {
    EXPECT_TRUE(Eventually([&] { return network_.Prepared() >= count; }));
    ASSERT_EQ(network_.Prepared(), count);
  }
  std::string Run(const v1::RunPodSandboxRequest& request) {
    v1::RunPodSandboxResponse reply;
    EXPECT_OK(manager_->RunPodSandbox(request, &reply, Operation()));
    return network_.PreparedFor(request.config().metadata().name());
  }
};

TEST_F(PodSparesTest, OrdinaryPodsTakeThem) {
  AwaitPrepared(2);  // what the network refuses before the first pod is its own matter
  EXPECT_THAT(Run(PodRequest("first")), Not(IsEmpty()));
  AwaitPrepared(3);
  auto request = PodRequest("ipc");
  (*request.mutable_config()->mutable_linux()->mutable_sysctls())["kernel.shmmni"] = "8192";
  EXPECT_THAT(Run(request), Not(IsEmpty()));
  AwaitPrepared(4);
  request = PodRequest("ports");
  v1::PortMapping* port = request.mutable_config()->add_port_mappings();
  port->set_container_port(80);
  port->set_host_port(8080);
  EXPECT_THAT(Run(request), Not(IsEmpty()));
}

TEST_F(PodSparesTest, LimitedPodsDoNot) {
  AwaitPrepared(2);
  int number = 0;
  for (const char* key : {network::kIngressBandwidth, network::kEgressBandwidth}) {
    auto request = PodRequest(absl::StrCat("limit-", ++number));
    (*request.mutable_config()->mutable_annotations())[key] = "10M";
    EXPECT_THAT(Run(request), IsEmpty()) << key;
  }
  EXPECT_EQ(network_.Prepared(), 2u);
  EXPECT_THAT(Run(PodRequest("ordinary")), Not(IsEmpty()));
}

// A sysctl of the pod's interface must find it.
TEST_F(PodSparesTest, SysctlsOfTheNetworkWaitForIt) {
  AwaitPrepared(2);
  auto request = PodRequest("web");
  auto& sysctls = *request.mutable_config()->mutable_linux()->mutable_sysctls();
  sysctls["net.ipv6.conf.all.disable_ipv6"] = "1";
  sysctls["net/ipv4/neigh/eth0/base_reachable_time_ms"] = "5000";
  sysctls["net.ipv4.ip_unprivileged_port_start"] = "7";
  sysctls["kernel.shmmni"] = "8192";
  EXPECT_THAT(Run(request), Not(IsEmpty()));
  EXPECT_THAT(network_.SysctlsFor("web"),
              UnorderedElementsAre(Pair("net.ipv4.neigh.eth0.base_reachable_time_ms", "5000"),
                                   Pair("net.ipv6.conf.all.disable_ipv6", "1")));
  request = PodRequest("bad");
  (*request.mutable_config()->mutable_linux()->mutable_sysctls())["net.ipv4/../x"] = "1";
  v1::RunPodSandboxResponse reply;
  EXPECT_THAT(manager_->RunPodSandbox(request, &reply, Operation()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(PodSparesTest, ARestartedDaemonPreparesItsOwn) {
  AwaitPrepared(2);
  EXPECT_THAT(Run(PodRequest("before")), Not(IsEmpty()));
  AwaitPrepared(3);
  End();
  Start();
  AwaitPrepared(5);
  EXPECT_THAT(Run(PodRequest("after")), Not(IsEmpty()));
}

class NoPreparingTest : public PodSparesTest {
 protected:
  NoPreparingTest() { attach_spares_ = false; }
};

TEST_F(NoPreparingTest, IsTheSwitch) {
  for (int i = 0; i < 5; ++i) EXPECT_THAT(Run(PodRequest(absl::StrCat("p", i))), IsEmpty());
  EXPECT_EQ(network_.Prepared(), 0u);
}

}  // namespace
}  // namespace crisp::cri
