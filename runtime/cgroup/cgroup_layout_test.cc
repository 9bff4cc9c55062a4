#include "runtime/cgroup/cgroup_layout.h"

#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "absl/time/clock.h"
#include "base/file.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "runtime/cgroup/cgroup_systemd.h"

namespace crisp::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kHybrid[] =
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:5 - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "36 31 0:32 / /mnt/again rw - cgroup cgroup rw,memory\n"
    "39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    "42 31 0:39 / /odd\\040dir rw - cgroup cgroup rw,freezer\n";

TEST(CgroupLayoutTest, HybridUsesTheV1Controllers) {
  CgroupLayout layout = *ParseCgroupLayout(kHybrid);
  EXPECT_FALSE(layout.v2);
  EXPECT_TRUE(layout.hybrid);
  ASSERT_EQ(layout.hierarchies.size(), 4u);
  EXPECT_THAT(layout.hierarchies[0].controllers, ElementsAre("cpu", "cpuacct"));
  EXPECT_EQ(layout.Find("cpuacct")->mount_point, "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_EQ(layout.Find("memory")->mount_point, "/sys/fs/cgroup/memory");
  EXPECT_EQ(layout.Find("hugetlb"), nullptr);
  EXPECT_EQ(layout.Primary().mount_point, "/odd dir");
}

TEST(CgroupLayoutTest, OnlyUnifiedIsV2) {
  CgroupLayout layout =
      *ParseCgroupLayout("30 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n");
  EXPECT_TRUE(layout.v2);
  EXPECT_EQ(layout.Primary().mount_point, "/sys/fs/cgroup");
  EXPECT_EQ(layout.Find("memory")->mount_point, "/sys/fs/cgroup");
}

TEST(CgroupLayoutTest, NothingMountedIsAnError) {
  EXPECT_THAT(ParseCgroupLayout("garbage\n - cgroup\n1 2 - cgroup c rw,cpu\n"),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST(CgroupLayoutTest, ExpandsSlices) {
  EXPECT_EQ(*ExpandSlice("a-b.slice"), "/a.slice/a-b.slice");
  EXPECT_EQ(*ExpandSlice("kubepods-burstable-pod1_2.slice"),
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice");
  EXPECT_EQ(*ExpandSlice("-.slice"), "/");
  for (const char* bad : {"", "a", ".slice", "-a.slice", "a-.slice", "a--b.slice", "a/b.slice"}) {
    EXPECT_THAT(ExpandSlice(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

TEST(CgroupLayoutTest, NamesGroupsForEachDriver) {
  constexpr auto fs = CgroupDriver::kCgroupfs, systemd = CgroupDriver::kSystemd;
  EXPECT_EQ(*ContainerCgroupPath(fs, "", "p", "c"), "/crisp/p/c");
  EXPECT_EQ(*ContainerCgroupPath(fs, "/kubepods/pod1", "p", "c"), "/kubepods/pod1/c");
  EXPECT_EQ(*PodCgroupPath(fs, "kubepods//pod1/", "p"), "/kubepods/pod1");
  EXPECT_EQ(*ContainerCgroupPath(fs, "/", "p", "c"), "//c" + 1);
  EXPECT_EQ(*ContainerCgroupPath(systemd, "a-b.slice", "p", "c"),
            "/a.slice/a-b.slice/crisp-p.scope/c");
  EXPECT_EQ(*PodCgroupPath(systemd, "/a.slice/a-b.slice", "p"), "/a.slice/a-b.slice");
  EXPECT_EQ(*ContainerCgroupPath(systemd, "", "p", "c"), "/system.slice/crisp-p.scope/c");
  EXPECT_EQ(*PodCgroupPath(systemd, "", "p"), "/system.slice/crisp-p.scope");
  EXPECT_EQ(*PodSlice("/a.slice/a-b.slice"), "a-b.slice");
  EXPECT_EQ(*PodSlice(""), "system.slice");
}

TEST(CgroupLayoutTest, KnowsWhetherNamespacesAreDelegated) {
  EXPECT_TRUE(
      ParseCgroupLayout(
          "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n")
          ->nsdelegate);
  EXPECT_FALSE(
      ParseCgroupLayout("31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")->nsdelegate);
}

TEST(CgroupLayoutTest, KnowsAPodsDriverByItsRecord) {
  constexpr auto fs = CgroupDriver::kCgroupfs, systemd = CgroupDriver::kSystemd;
  EXPECT_EQ(DriverOfPod("-.slice", "/"), systemd);
  EXPECT_EQ(DriverOfPod("/a.slice/a-b.slice/", "/a.slice/a-b.slice"), systemd);
  EXPECT_EQ(DriverOfPod("", "/system.slice/crisp-p.scope"), systemd);
  EXPECT_EQ(DriverOfPod("", "/crisp/p"), fs);
  EXPECT_EQ(DriverOfPod("/", "/"), fs);
  EXPECT_EQ(DriverOfPod("/kubepods/pod1", "/kubepods/pod1"), fs);
}

// Somebody accepts and says nothing.
TEST(CgroupSystemdTest, ABusThatHangsHoldsNobodyLongerThanAllowed) {
  const TempDir dir;
  const std::string path = dir.path() + "/bus";
  const UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(listener.get(), 8), 0);
  ASSERT_EQ(setenv("DBUS_SYSTEM_BUS_ADDRESS", ("unix:path=" + path).c_str(), 1), 0);
  const absl::Time before = absl::Now();
  EXPECT_THAT(StartPodScope("system.slice", "p", {1}, Operation(before + absl::Milliseconds(300))),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("hang")));
  EXPECT_THAT(AskSystemd(Operation(absl::Now() + absl::Milliseconds(100))),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_LT(absl::Now() - before, absl::Seconds(5));
  unsetenv("DBUS_SYSTEM_BUS_ADDRESS");
}

TEST(CgroupSystemdTest, WithoutABusItIsUnavailable) {
  ASSERT_EQ(setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent", 1), 0);
  EXPECT_THAT(StartPodScope("system.slice", "p", {1}, Operation(absl::Now() + absl::Seconds(5))),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("system bus")));
  unsetenv("DBUS_SYSTEM_BUS_ADDRESS");
  EXPECT_EQ(*PodScopePath("a.slice", "p"), "/a.slice/" + PodScopeName("p"));
}

TEST(CgroupLayoutTest, TellsHowToMendADriverMismatch) {
  EXPECT_THAT(PodCgroupPath(CgroupDriver::kCgroupfs, "/kubepods.slice", "p"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cgroupDriver: systemd")));
  EXPECT_THAT(PodCgroupPath(CgroupDriver::kSystemd, "/kubepods/pod1", "p"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cgroupDriver: cgroupfs")));
  EXPECT_THAT(PodCgroupPath(CgroupDriver::kCgroupfs, "/a/../../b", "p"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace crisp::runtime
