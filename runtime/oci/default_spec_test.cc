#include "runtime/oci/default_spec.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "runtime/plan/plan_builder.h"

namespace crisp::runtime {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;

const OciMount& At(const std::vector<OciMount>& mounts, const std::string& destination) {
  return *std::find_if(mounts.begin(), mounts.end(),
                       [&](const OciMount& m) { return m.destination == destination; });
}

TEST(DefaultSpecTest, UnprivilegedIsConfined) {
  OciSpec spec = DefaultSpec({});
  EXPECT_EQ(spec.process.capabilities->bounding.size(), 14u);
  EXPECT_THAT(spec.process.capabilities->inheritable, IsEmpty());
  EXPECT_THAT(spec.process.capabilities->ambient, IsEmpty());
  EXPECT_THAT(spec.linux_.masked_paths, Contains("/proc/kcore"));
  EXPECT_THAT(spec.linux_.readonly_paths, Contains("/proc/sys"));
  EXPECT_THAT(At(spec.mounts, "/sys").options, Contains("ro"));
  EXPECT_THAT(At(spec.mounts, "/sys/fs/cgroup").options, Contains("ro"));
  EXPECT_EQ(At(spec.mounts, "/dev/shm").source, kPodShmSource);
  EXPECT_FALSE(spec.linux_.resources.devices.front().allow);
}

TEST(DefaultSpecTest, PrivilegedIsNot) {
  OciSpec spec = DefaultSpec({.privileged = true, .available_capabilities = 0xff});
  EXPECT_EQ(spec.process.capabilities->effective.size(), 8u);
  EXPECT_THAT(spec.linux_.masked_paths, IsEmpty());
  EXPECT_THAT(spec.linux_.readonly_paths, IsEmpty());
  EXPECT_THAT(At(spec.mounts, "/sys").options, Contains("rw"));
  EXPECT_EQ(spec.linux_.resources.devices, PrivilegedDeviceRules());
}

TEST(DefaultSpecTest, HostNamespacesChangeTheMounts) {
  EXPECT_EQ(At(DefaultMounts({.host_ipc = true}), "/dev/shm").source, "/dev/shm");
  OciMount sys = At(DefaultMounts({.host_network = true, .user_namespace = true}), "/sys");
  EXPECT_EQ(sys.type, "bind");
  EXPECT_THAT(sys.options, Contains("rro"));
}

TEST(DefaultSpecTest, EveryDefaultMountCanBePlanned) {
  for (bool privileged : {false, true}) {
    for (const OciMount& mount : DefaultMounts({.privileged = privileged})) {
      if (mount.type == "cgroup") continue;
      EXPECT_TRUE(BuildMountPlan(mount).ok()) << mount.destination;
    }
  }
}

}  // namespace
}  // namespace crisp::runtime
