#include "runtime/crisp/lowering.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/mount.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/testing/status_matchers.h"
#include "runtime/oci/default_spec.h"

namespace crisp::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class LoweringTest : public ::testing::Test {
 protected:
  LoweringTest() {
    spec_.process.args = {"/bin/true"};
    spec_.process.cwd = "/";
    spec_.linux_.cgroups_path = "/pod/c";
    spec_.linux_.namespaces = {{.type = "mount"}, {.type = "cgroup"}};
  }
  NewContainer Container() {
    return {.id = id_,
            .spec = spec_,
            .namespaces = namespaces_,
            .lower_dirs = lowers_,
            .upper_dir = upper_,
            .work_dir = work_,
            .image_volumes = image_volumes_,
            .device_sources = device_sources_,
            .log_path = "/log/./c",
            .stdin_open = true,
            .exit_record = "/state/exits/c"};
  }
  absl::StatusOr<ContainerPlan> Plan() {
    auto base = lowering_.MakeExecBase(spec_);
    if (!base.ok()) return base.status();
    return lowering_.ToPlan(Container(), **base);
  }
  OciMount& CgroupMount() {
    return *std::find_if(spec_.mounts.begin(), spec_.mounts.end(),
                         [](const OciMount& mount) { return mount.type == "cgroup"; });
  }
  static const MountPlan* At(const ContainerPlan& plan, const std::string& destination) {
    for (const MountPlan& mount : plan.mounts) {
      if (mount.destination == destination) return &mount;
    }
    return nullptr;
  }

  OciSpec spec_ = DefaultSpec({});
  const std::string id_ = "c", upper_ = "/u", work_ = "/w";
  const std::vector<Lower> lowers_ = {"/l2", "/l1"};
  PodNamespaces namespaces_;
  std::map<std::string, ImageVolume> image_volumes_;
  std::map<std::string, std::string> device_sources_;
  Lowering lowering_{std::make_shared<const CgroupLayout>(CgroupLayout{
                         .v2 = true, .hierarchies = {{.mount_point = "/sys/fs/cgroup"}}}),
                     "/empty", ~uint64_t{0} >> 23};
};

TEST_F(LoweringTest, WhatTheHandlerIsGivenIsInThePlan) {
  ASSERT_OK_AND_ASSIGN(const ContainerPlan plan, Plan());
  EXPECT_EQ(plan.container_id, "c");
  EXPECT_EQ(plan.lower_dirs, lowers_);
  EXPECT_EQ(plan.upper_dir, "/u");
  EXPECT_EQ(plan.log_path, "/log/./c");
  EXPECT_TRUE(plan.stdin_open);
  EXPECT_FALSE(plan.stdin_once);
  EXPECT_EQ(plan.exit_record, "/state/exits/c");
  EXPECT_THAT(plan.cgroup_dirs, ElementsAre("/sys/fs/cgroup/pod/c"));
  EXPECT_TRUE(plan.cgroup_v2);
  EXPECT_THAT(plan.process.argv, ElementsAre("/bin/true"));
}

TEST_F(LoweringTest, TheCgroupIsReadOnlyAsTheSpecSaysIt) {
  ASSERT_OK_AND_ASSIGN(const ContainerPlan plan, Plan());
  const MountPlan* mount = At(plan, "/sys/fs/cgroup");
  ASSERT_NE(mount, nullptr);
  EXPECT_EQ(mount->source, "/sys/fs/cgroup/pod/c");
  EXPECT_NE(mount->attributes & MOUNT_ATTR_RDONLY, 0u);
  for (std::string& option : CgroupMount().options) {
    if (option == "ro") option = "rw";
  }
  ASSERT_OK_AND_ASSIGN(const ContainerPlan writable, Plan());
  EXPECT_EQ(At(writable, "/sys/fs/cgroup")->attributes & MOUNT_ATTR_RDONLY, 0u);
}

TEST_F(LoweringTest, WithoutACgroupNamespaceTheWholeTreeIsShown) {
  spec_.linux_.namespaces = {{.type = "mount"}};
  ASSERT_OK_AND_ASSIGN(const ContainerPlan plan, Plan());
  EXPECT_EQ(At(plan, "/sys/fs/cgroup")->source, "/sys/fs/cgroup");
}

TEST_F(LoweringTest, ASpecWithoutACgroupMountHasNone) {
  spec_.mounts.clear();
  ASSERT_OK_AND_ASSIGN(const ContainerPlan plan, Plan());
  EXPECT_THAT(plan.mounts, IsEmpty());
}

TEST_F(LoweringTest, AnExecIsTheContainersProcessWithOtherArguments) {
  spec_.process.env = {"A=1"};
  spec_.process.user = {.uid = 7, .gid = 8};
  spec_.linux_.seccomp = OciSeccomp{.default_action = "SCMP_ACT_ALLOW"};
  ASSERT_OK_AND_ASSIGN(const auto base, lowering_.MakeExecBase(spec_));
  ASSERT_NE(base->seccomp, nullptr);
  const std::vector<std::string> argv = {"id", "-u"};
  ASSERT_OK_AND_ASSIGN(const ExecPlan plan,
                       lowering_.ToPlan({.id = "e",
                                         .container_id = id_,
                                         .cgroups_path = spec_.linux_.cgroups_path,
                                         .argv = argv,
                                         .terminal = true,
                                         .base = *base}));
  EXPECT_EQ(plan.exec_id, "e");
  EXPECT_EQ(plan.container_id, "c");
  EXPECT_THAT(plan.process.argv, ElementsAre("id", "-u"));
  EXPECT_THAT(plan.process.env, ElementsAre("A=1", "TERM=xterm"));
  EXPECT_EQ(plan.process.uid, 7u);
  EXPECT_EQ(plan.process.seccomp_bpf, base->seccomp->bpf);
  EXPECT_THAT(plan.cgroup_dirs, ElementsAre("/sys/fs/cgroup/pod/c"));
}

}  // namespace
}  // namespace crisp::runtime
