#include "cri/stats/stats_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace crisp::cri {
namespace {

runtime::CgroupStats Stats() {
  runtime::CgroupStats stats;
  stats.at = absl::FromUnixNanos(1'000);
  stats.cpu.usage_ns = 42;
  stats.memory.usage = 100;
  stats.memory.working_set = 70;
  return stats;
}

TEST(StatsBuilderTest, WithoutALimitNothingIsAvailable) {
  EXPECT_FALSE(MakeMemoryUsage(Stats()).has_available_bytes());
}

TEST(StatsBuilderTest, AvailableIsLimitLessWorkingSetAndNeverNegative) {
  runtime::CgroupStats stats = Stats();
  stats.memory.limit = 100;
  EXPECT_EQ(MakeMemoryUsage(stats).available_bytes().value(), 30u);
  stats.memory.limit = 50;
  EXPECT_EQ(MakeMemoryUsage(stats).available_bytes().value(), 0u);
}

TEST(StatsBuilderTest, ExitedContainerHasOnlyItsWritableLayer) {
  ContainerReading reading;
  reading.attributes.set_id("c");
  reading.writable_layer = storage::FsUsage{.mountpoint = "/x", .used_bytes = 5, .inodes_used = 2};
  const v1::ContainerStats stats = MakeContainerStats(reading);
  EXPECT_EQ(stats.attributes().id(), "c");
  EXPECT_FALSE(stats.has_cpu());
  EXPECT_FALSE(stats.has_memory());
  EXPECT_EQ(stats.writable_layer().used_bytes().value(), 5u);
}

TEST(StatsBuilderTest, PodPicksEth0AndSkipsLoopback) {
  PodReading reading;
  reading.interfaces = {
      {.name = "lo"}, {.name = "net1", .rx_bytes = 1}, {.name = "eth0", .rx_bytes = 2}};
  const v1::PodSandboxStats stats = MakePodSandboxStats(reading);
  EXPECT_EQ(stats.linux().network().default_interface().name(), "eth0");
  ASSERT_EQ(stats.linux().network().interfaces_size(), 1);
  EXPECT_EQ(stats.linux().network().interfaces(0).name(), "net1");
  EXPECT_FALSE(stats.linux().has_cpu());
}

TEST(StatsBuilderTest, NanoCoresIsARate) {
  const absl::Time start = absl::FromUnixSeconds(10);
  EXPECT_EQ(NanoCores(0, start, 500'000'000, start + absl::Seconds(1)), 500'000'000u);
  EXPECT_EQ(NanoCores(0, start, 40'000'000'000, start + absl::Seconds(10)), 4'000'000'000u);
  EXPECT_EQ(NanoCores(0, start, 1, start), std::nullopt);
  EXPECT_EQ(NanoCores(5, start, 1, start + absl::Seconds(1)), std::nullopt);
}

}  // namespace
}  // namespace crisp::cri
