#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

#include "base/testing/status_matchers.h"
#include "runtime/plan/launch_plan.h"
#include "runtime/wire/lower_text.h"
#include "runtime/wire/plan_view.h"

namespace crisp::runtime {
namespace {

ProcessPlan SampleProcess() {
  ProcessPlan process;
  process.argv = {"/bin/sh", "-c", "echo hi"};
  process.env = {"PATH=/bin", "EMPTY=", "ODD=\xff\x01"};
  process.cwd = "/srv";
  process.uid = 1000;
  process.gid = 1001;
  process.groups = {1, 2, 0xfffffffe};
  process.cap_bounding = 0x1ffffffffff;
  process.cap_ambient = 7;
  process.no_new_privileges = true;
  process.terminal = true;
  process.terminal_rows = 24;
  process.oom_score_adj = -998;
  process.rlimits = {{7, {1024, 524288}}, {4, {0, ~uint64_t{0}}}};
  process.seccomp_bpf = std::string("\0\1\2\0\0\0\0\0", 8);
  process.selinux_label = "a:b:c";
  return process;
}

ContainerPlan SampleContainer() {
  ContainerPlan plan;
  plan.container_id = "c1";
  plan.process = SampleProcess();
  plan.lower_dirs = {"/l/2", "/l/1"};
  plan.upper_dir = "/u";
  plan.mounts.push_back({.kind = MountKind::kFs, .destination = "/proc", .type = "proc"});
  plan.mounts.push_back({.kind = MountKind::kOverlay,
                         .destination = "/img",
                         .options = {"a", "b=c"},
                         .lowers = {"x", "y"},
                         .propagation = Propagation::kShared,
                         .idmap = true,
                         .uid_maps = {{0, 100000, 65536}}});
  plan.devices.push_back({.path = "/dev/null", .major = 1, .minor = 3});
  plan.masked_paths = {"/proc/kcore"};
  plan.pid = NamespaceMode::kTarget;
  plan.target_pid = 77;
  plan.exit_record = "/run/x";
  return plan;
}

TEST(PlanCodec, ContainerRoundTrips) {
  const ContainerPlan plan = SampleContainer();
  ASSERT_OK_AND_ASSIGN(const ContainerPlan back, DecodeContainerPlan(EncodePlan(plan)));
  EXPECT_EQ(back, plan);
}

TEST(PlanCodec, PodAndExecRoundTrip) {
  PodPlan pod;
  pod.pod_id = "p";
  pod.sysctls = {{"net.ipv4.ip_forward", "1"}, {"kernel.msgmax", "8192"}};
  pod.uid_maps = {{0, 100000, 65536}};
  pod.mount_label = "a:b:files";
  pod.init_label = "a:b:processes";
  ASSERT_OK_AND_ASSIGN(const PodPlan pod_back, DecodePodPlan(EncodePlan(pod)));
  EXPECT_EQ(pod_back, pod);
  ExecPlan exec;
  exec.exec_id = "e";
  exec.process = SampleProcess();
  exec.cgroup_dirs = {"/sys/fs/cgroup/x"};
  ASSERT_OK_AND_ASSIGN(const ExecPlan exec_back, DecodeExecPlan(EncodePlan(exec)));
  EXPECT_EQ(exec_back, exec);
}

TEST(PlanCodec, MountsAreSaidByTheirPlacesBesideThePlan) {
  ContainerPlan plan = SampleContainer();
  plan.lower_dirs = {Lower::Mount(30), "/l/1", Lower::Mount(20)};
  plan.mounts.push_back({.kind = MountKind::kOverlay, .lowers = {Lower::Mount(30)}});
  ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodePlan(plan, kPlanVersion, {20, 30}));
  ASSERT_OK_AND_ASSIGN(const ContainerPlan back, DecodeContainerPlan(bytes));
  EXPECT_EQ(back.lower_dirs, (std::vector<Lower>{Lower::Mount(1), "/l/1", Lower::Mount(0)}));
  EXPECT_EQ(back.mounts.back().lowers, std::vector<Lower>{Lower::Mount(1)});
  EXPECT_THAT(EncodePlan(plan, kPlanVersion, {20}),
              StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("/fd/30")));
}

TEST(PlanCodec, WhatIsNoNumberOfAMountIsAPath) {
  EXPECT_EQ(LowerNumber("fd:0"), 0);
  EXPECT_EQ(LowerNumber("fd:249"), 249);
  for (const char* text : {"", "fd:", "fd", "fd:x", "fd:1x", "fd:01", "fd:-1", "fd:1000",
                           "fd:99999999999999999999", "/fd:1", "/proc/self/fd/1"}) {
    EXPECT_EQ(LowerNumber(text), -1) << text;
  }
}

TEST(PlanCodec, ViewReadsInPlace) {
  const std::string bytes = EncodePlan(SampleContainer());
  ContainerView view;
  ASSERT_TRUE(ParsePlan(bytes.data(), bytes.size(), PlanKind::kContainer, &view));
  EXPECT_TRUE(view.container_id == "c1");
  std::vector<std::string> destinations, lowers;
  for (const MountView& mount : view.mounts) {
    destinations.push_back(mount.destination.c_str());
    for (const Str& lower : mount.lowers) lowers.push_back(lower.c_str());
  }
  EXPECT_EQ(destinations, (std::vector<std::string>{"/proc", "/img"}));
  EXPECT_EQ(lowers, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(view.process.seccomp_bpf.size, 8u);
  EXPECT_GE(view.container_id.data, bytes.data());
  EXPECT_LT(view.container_id.data, bytes.data() + bytes.size());
}

TEST(PlanCodec, EveryTruncationIsRefused) {
  const std::string bytes = EncodePlan(SampleContainer());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(DecodeContainerPlan(bytes.substr(0, size)),
                StatusIs(absl::StatusCode::kInvalidArgument));
    // Also with a header that agrees with the shorter size.
    std::string cut = bytes.substr(0, size);
    if (size >= sizeof(PlanHeader)) {
      const uint32_t claimed = static_cast<uint32_t>(size);
      memcpy(&cut[offsetof(PlanHeader, size)], &claimed, sizeof(claimed));
      EXPECT_THAT(DecodeContainerPlan(cut), StatusIs(absl::StatusCode::kInvalidArgument)) << size;
    }
  }
}

TEST(PlanCodec, RefusesOtherKindVersionAndNulInStrings) {
  const std::string bytes = EncodePlan(SampleContainer());
  EXPECT_THAT(DecodePodPlan(bytes), StatusIs(absl::StatusCode::kInvalidArgument));
  for (const char other :
       std::initializer_list<char>{0, kFirstPlanVersion - 1, kPlanVersion + 1, 0x40}) {
    std::string version = bytes;
    version[offsetof(PlanHeader, version)] = other;
    EXPECT_THAT(DecodeContainerPlan(version), StatusIs(absl::StatusCode::kInvalidArgument))
        << int{other};
  }
  ContainerPlan plan = SampleContainer();
  plan.upper_dir = std::string("/a\0b", 4);
  EXPECT_THAT(DecodeContainerPlan(EncodePlan(plan)), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace crisp::runtime
