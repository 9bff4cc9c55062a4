#include <gmock/gmock.h>

#include "runtime/cgroup/cgroup_stats_parse.h"

namespace crisp::runtime {
namespace {

TEST(CgroupStatsParseTest, FlatKeyed) {
  auto values = ParseFlatKeyed("a 1\nb 18446744073709551615\nbad\nc x\nd 1 2\n\ne -1\n");
  EXPECT_EQ(values.size(), 2u);
  EXPECT_EQ(values["b"], UINT64_MAX);
}

TEST(CgroupStatsParseTest, PressureInNanoseconds) {
  auto pressure = ParsePressure(
      "some avg10=1.50 avg60=2.25 avg300=0.00 total=12\nfull avg10=0.50 avg60=0 avg300=0 "
      "total=3\n");
  ASSERT_TRUE(pressure.has_value());
  EXPECT_EQ(pressure->some.avg10, 1.5);
  EXPECT_EQ(pressure->some.avg60, 2.25);
  EXPECT_EQ(pressure->some.total_ns, 12000u);
  EXPECT_EQ(pressure->full.total_ns, 3000u);
  EXPECT_FALSE(ParsePressure("").has_value());
  EXPECT_FALSE(ParsePressure("full total=1\n").has_value());
}

TEST(CgroupStatsParseTest, Io) {
  auto devices = ParseIoStat("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5\n8:16\nx rbytes=1\n");
  ASSERT_EQ(devices.size(), 1u);
  EXPECT_EQ(devices[0].major, 8u);
  EXPECT_EQ(devices[0].writes, 4u);
  devices = ParseBlkio("8:0 Read 10\n8:0 Write 20\n8:0 Total 30\nTotal 30\n",
                       "8:0 Read 1\n8:16 Write 2\n");
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[0].read_bytes, 10u);
  EXPECT_EQ(devices[0].write_bytes, 20u);
  EXPECT_EQ(devices[0].reads, 1u);
  EXPECT_EQ(devices[1].writes, 2u);
}

TEST(CgroupStatsParseTest, Numbers) {
  EXPECT_EQ(ParseCgroupNumber("12\n"), 12u);
  EXPECT_EQ(ParseCgroupNumber("max\n"), std::nullopt);
  EXPECT_EQ(ParseCgroupNumber(""), std::nullopt);
  EXPECT_EQ(ParseCgroupNumber("-1"), std::nullopt);
}

}  // namespace
}  // namespace crisp::runtime
