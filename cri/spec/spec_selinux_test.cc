#include "base/testing/status_matchers.h"
#include "cri/spec/spec_builder.h"

namespace crisp::cri {
namespace {

using ::testing::HasSubstr;

class SpecSelinuxTest : public ::testing::Test {
 protected:
  SpecSelinuxTest() {
    host_ = {.enabled = true, .levels = true, .defaults = runtime::StandardSelinuxDefaults()};
  }
  absl::StatusOr<runtime::SelinuxLabels> Select() {
    return SelectSelinux(pod_, container_, host_, "s0:c1,c2");
  }
  v1::SELinuxOption* PodOptions() {
    return pod_.mutable_linux()->mutable_security_context()->mutable_selinux_options();
  }
  v1::NamespaceOption* PodNamespaces() {
    return pod_.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  }

  v1::PodSandboxConfig pod_;
  v1::LinuxContainerSecurityContext container_;
  runtime::SelinuxHost host_;
};

TEST_F(SpecSelinuxTest, ContainersShareTheLevelOfTheirPod) {
  ASSERT_OK_AND_ASSIGN(const runtime::SelinuxLabels labels, Select());
  EXPECT_EQ(labels.process, "system_u:system_r:container_t:s0:c1,c2");
  EXPECT_EQ(labels.mount, "system_u:object_r:container_file_t:s0:c1,c2");
}

TEST_F(SpecSelinuxTest, AContainersOptionsGoBeforeItsPods) {
  PodOptions()->set_type("pod_t");
  PodOptions()->set_role("pod_r");
  container_.mutable_selinux_options()->set_type("own_t");
  EXPECT_EQ(Select()->process, "system_u:pod_r:own_t:s0:c1,c2");
  container_.mutable_selinux_options()->set_level("s0:c8,c9");
  EXPECT_EQ(Select()->process, "system_u:pod_r:own_t:s0:c8,c9");
  EXPECT_EQ(Select()->mount, "system_u:object_r:container_file_t:s0:c8,c9");
}

TEST_F(SpecSelinuxTest, PrivilegedOnesAndThoseAmongTheHostsProcessesAreUnconfined) {
  constexpr char kUnconfined[] = "system_u:system_r:spc_t:s0";
  container_.set_privileged(true);
  EXPECT_EQ(Select()->process, kUnconfined);
  container_.set_privileged(false);
  container_.mutable_namespace_options()->set_pid(v1::NODE);
  EXPECT_EQ(Select()->process, kUnconfined);
  container_.mutable_namespace_options()->set_pid(v1::CONTAINER);
  PodNamespaces()->set_ipc(v1::NODE);
  EXPECT_EQ(Select()->process, kUnconfined);
  PodNamespaces()->set_ipc(v1::POD);
  PodNamespaces()->set_network(v1::NODE);
  EXPECT_EQ(Select()->process, "system_u:system_r:container_t:s0:c1,c2")
      << "the network has no owner";
}

TEST_F(SpecSelinuxTest, AKernelWithoutItOverlooksWhatIsAskedFor) {
  host_ = {};
  PodOptions()->set_level("s0:c3,c4");
  container_.mutable_selinux_options()->set_type("container_t");
  ASSERT_OK_AND_ASSIGN(const runtime::SelinuxLabels labels, Select());
  EXPECT_EQ(labels, runtime::SelinuxLabels());
}

TEST_F(SpecSelinuxTest, WhereItIsRequiredAKernelWithoutItRefusesWhatItCannotGive) {
  host_ = {.required = true};
  EXPECT_EQ(*Select(), runtime::SelinuxLabels()) << "nothing is asked for";
  container_.mutable_selinux_options()->set_type("container_t");
  EXPECT_THAT(Select(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("container_t")));
  container_.mutable_selinux_options()->set_type("spc_t");
  container_.mutable_selinux_options()->set_level("s0");
  EXPECT_EQ(*Select(), runtime::SelinuxLabels()) << "unconfined it is there, too";
  container_.mutable_selinux_options()->set_type("container_t");
  container_.set_privileged(true);
  EXPECT_EQ(*Select(), runtime::SelinuxLabels());
  container_.set_privileged(false);
  host_.off = true;
  EXPECT_EQ(*Select(), runtime::SelinuxLabels()) << "the operator's word";
}

TEST_F(SpecSelinuxTest, APolicyWithoutContainersRefusesWhatItCannotGive) {
  host_.unusable = "the loaded policy knows no context container_t";
  EXPECT_EQ(*Select(), runtime::SelinuxLabels());
  PodOptions()->set_level("s0:c3,c4");
  EXPECT_THAT(Select(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("knows no context")));
}

TEST_F(SpecSelinuxTest, APolicyWithoutLevelsHasNone) {
  host_.levels = false;
  for (runtime::SelinuxContext* context : {&host_.defaults.process, &host_.defaults.file})
    context->level = "";
  EXPECT_EQ(SelectSelinux(pod_, container_, host_, "")->process, "system_u:system_r:container_t");
  container_.mutable_selinux_options()->set_level("s0");
  EXPECT_THAT(Select(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no levels")));
}

}  // namespace
}  // namespace crisp::cri
