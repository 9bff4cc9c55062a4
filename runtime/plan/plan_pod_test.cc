#include <gmock/gmock.h>

#include "base/testing/status_matchers.h"
#include "runtime/plan/plan_builder.h"

namespace crisp::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(PodPlanTest, HostNetworkTakesUtsWithIt) {
  PodPlan plan = *BuildPodPlan({.pod_id = "p", .hostname = "h", .host_network = true});
  EXPECT_FALSE(plan.new_net);
  EXPECT_FALSE(plan.new_uts);
  EXPECT_EQ(plan.hostname, "");
  EXPECT_TRUE(plan.new_ipc);
  plan = *BuildPodPlan({.pod_id = "p", .hostname = "h"});
  EXPECT_TRUE(plan.new_net && plan.new_uts);
  EXPECT_EQ(plan.hostname, "h");
}

TEST(PodPlanTest, OnlyAPidOneOfThePodsOwnIsLabelled) {
  PodSpec inputs{.shared_pid = true, .mount_label = "files", .init_label = "processes"};
  EXPECT_EQ(BuildPodPlan(inputs)->init_label, "processes");
  inputs.shared_pid = false;
  EXPECT_EQ(BuildPodPlan(inputs)->init_label, "");
  EXPECT_EQ(BuildPodPlan(inputs)->mount_label, "files");
}

TEST(PodPlanTest, TakesNamespacedSysctlsOnly) {
  PodPlan plan = *BuildPodPlan(
      {.sysctls = {{"net/ipv4/conf/eth0.1/forwarding", "1"}, {"kernel.shm_rmid_forced", "1"}}});
  EXPECT_THAT(plan.sysctls, ElementsAre(Pair("kernel.shm_rmid_forced", "1"),
                                        Pair("net.ipv4.conf.eth0/1.forwarding", "1")));
  for (const char* name : {"kernel.panic", "vm.swappiness", "kernel.hostname", "fs.file-max", "",
                           "net..x", "../net.ipv4.x"}) {
    EXPECT_THAT(BuildPodPlan({.sysctls = {{name, "1"}}}),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << name;
  }
}

TEST(PodPlanTest, RefusesSysctlsOfTheHostsNamespaces) {
  EXPECT_THAT(BuildPodPlan({.host_network = true, .sysctls = {{"net.core.somaxconn", "1"}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("host's network")));
  EXPECT_THAT(BuildPodPlan({.host_ipc = true, .sysctls = {{"kernel.msgmax", "1"}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("host's IPC")));
}

TEST(PodPlanTest, ChecksIdMappings) {
  const OciIdMapping good{0, 65536, 65536};
  EXPECT_OK(BuildPodPlan({.uid_maps = {good}, .gid_maps = {good}}));
  EXPECT_THAT(BuildPodPlan({.uid_maps = {good}}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(BuildPodPlan({.uid_maps = {good, good}, .gid_maps = {good}}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  for (OciIdMapping bad :
       {OciIdMapping{0, 1, 0}, OciIdMapping{1, 65536, 10}, OciIdMapping{0, 4294967295u, 2}}) {
    EXPECT_THAT(BuildPodPlan({.uid_maps = {bad}, .gid_maps = {good}}),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST(PodPlanTest, RefusesAHostnameTheKernelWouldCut) {
  EXPECT_OK(BuildPodPlan({.hostname = std::string(64, 'a')}));
  EXPECT_THAT(BuildPodPlan({.hostname = std::string(65, 'a')}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace crisp::runtime
