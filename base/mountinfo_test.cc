#include "base/mountinfo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/testing/status_matchers.h"

namespace crisp {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Points(absl::string_view table) {
  std::vector<std::string> points;
  ForEachMount(table, [&](const MountEntry& entry) { points.push_back(entry.mount_point); });
  return points;
}

TEST(Mountinfo, ReadsWhatAMountIs) {
  int count = 0;
  ForEachMount(
      "36 35 98:0 /in\\040side /mnt/a rw,noatime shared:7 master:3 - ext3 /dev/r\\134oot rw,x\n",
      [&](const MountEntry& entry) {
        ++count;
        EXPECT_EQ(entry.root, "/in side");
        EXPECT_EQ(entry.mount_point, "/mnt/a");
        EXPECT_TRUE(entry.shared);
        EXPECT_TRUE(entry.slave);
        EXPECT_EQ(entry.type, "ext3");
        EXPECT_EQ(entry.source, "/dev/r\\oot");
        EXPECT_EQ(entry.super_options, "rw,x");
      });
  EXPECT_EQ(count, 1);
}

TEST(Mountinfo, SaysNothingOfGroupsWhereThereAreNone) {
  ForEachMount("1 0 0:1 / / rw - tmpfs  rw", [](const MountEntry& entry) {
    EXPECT_FALSE(entry.shared);
    EXPECT_FALSE(entry.slave);
    EXPECT_EQ(entry.source, "");
  });
}

TEST(Mountinfo, NamesThePathsAsTheyAre) {
  EXPECT_THAT(Points("1 0 0:1 / /a\\040b rw - t s rw\n"
                     "2 0 0:1 / /tab\\011new\\012line rw - t s rw\n"
                     "3 0 0:1 / /back\\134040 rw - t s rw\n"
                     "4 0 0:1 / /no\\08octal\\04 rw - t s rw\n"),
              ElementsAre("/a b", "/tab\tnew\nline", "/back\\040", "/no\\08octal\\04"));
}

TEST(Mountinfo, LeavesOutWhatIsNoMount) {
  EXPECT_THAT(Points("garbage\n\n - cgroup\n1 0 0:1 / /a rw - t s\n1 0 0:1 / /b rw t s rw\n"
                     "1 0 0:1 / /c rw - t s rw"),
              ElementsAre("/c"));
}

TEST(Mountinfo, ReadsTheKernels) {
  ASSERT_OK_AND_ASSIGN(const std::string table, ReadFile("/proc/self/mountinfo"));
  EXPECT_THAT(Points(table), ::testing::Contains("/proc"));
  EXPECT_EQ(Points(table).size(),
            static_cast<size_t>(std::count(table.begin(), table.end(), '\n')));
}

}  // namespace
}  // namespace crisp
