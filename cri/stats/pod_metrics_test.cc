#include "cri/stats/pod_metrics.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <set>

namespace crisp::cri {
namespace {

MetricsReading Reading() {
  MetricsReading reading{
      .id = "i", .name = "n", .image = "m", .pod_namespace = "s", .pod = "p", .container = "c"};
  reading.stats.at = absl::FromUnixSeconds(100);
  reading.stats.io.devices = {{.major = 8, .minor = 1, .read_bytes = 3}};
  reading.stats.cpu.pressure.emplace();
  reading.stats.memory.pressure.emplace();
  reading.stats.io.pressure.emplace();
  reading.stats.hugetlb = {{.page_size = "2MB", .usage = 1, .max_usage = 2}};
  reading.writable_layer = storage::FsUsage{.mountpoint = "/m"};
  reading.open_files_limit = 1024;
  reading.resources.set_cpu_quota(10);
  return reading;
}

TEST(PodMetricsTest, EveryDescriptorIsComplete) {
  std::set<std::string> names;
  const v1::ListMetricDescriptorsResponse response = MetricDescriptors();
  for (const auto& descriptor : response.descriptors()) {
    EXPECT_FALSE(descriptor.help().empty()) << descriptor.name();
    EXPECT_GE(descriptor.label_keys_size(), 6) << descriptor.name();
    EXPECT_TRUE(names.insert(descriptor.name()).second) << descriptor.name() << " twice";
  }
}

// The names that the /metrics/cadvisor of a 1.37 kubelet has of a container and that critest asks
// for, without "container_". health_state is not among them: for a container without a check it is
// -1, which the CRI's metrics cannot express.
TEST(PodMetricsTest, NoNameOfCadvisorIsMissing) {
  std::set<std::string> names;
  const v1::ListMetricDescriptorsResponse response = MetricDescriptors();
  for (const auto& descriptor : response.descriptors()) names.insert(descriptor.name());
  for (const char* name : {"blkio_device_usage_total",
                           "cpu_cfs_burst_periods_total",
                           "cpu_cfs_burst_seconds_total",
                           "cpu_cfs_periods_total",
                           "cpu_cfs_throttled_periods_total",
                           "cpu_cfs_throttled_seconds_total",
                           "cpu_system_seconds_total",
                           "cpu_usage_seconds_total",
                           "cpu_user_seconds_total",
                           "creation_time_seconds",
                           "file_descriptors",
                           "fs_inodes_free",
                           "fs_inodes_total",
                           "fs_limit_bytes",
                           "fs_reads_bytes_total",
                           "fs_reads_total",
                           "fs_usage_bytes",
                           "fs_writes_bytes_total",
                           "fs_writes_total",
                           "hugetlb_max_usage_bytes",
                           "hugetlb_usage_bytes",
                           "last_seen",
                           "memory_cache",
                           "memory_events_high_total",
                           "memory_events_max_total",
                           "memory_failcnt",
                           "memory_failures_total",
                           "memory_file_dirty_bytes",
                           "memory_file_writeback_bytes",
                           "memory_kernel_usage",
                           "memory_mapped_file",
                           "memory_max_usage_bytes",
                           "memory_pgscan_total",
                           "memory_pgsteal_total",
                           "memory_rss",
                           "memory_swap",
                           "memory_usage_bytes",
                           "memory_working_set_bytes",
                           "memory_workingset_refault_anon_total",
                           "memory_workingset_refault_file_total",
                           "network_receive_bytes_total",
                           "network_receive_errors_total",
                           "network_receive_packets_dropped_total",
                           "network_receive_packets_total",
                           "network_transmit_bytes_total",
                           "network_transmit_errors_total",
                           "network_transmit_packets_dropped_total",
                           "network_transmit_packets_total",
                           "oom_events_total",
                           "pressure_cpu_stalled_seconds_total",
                           "pressure_cpu_waiting_seconds_total",
                           "pressure_io_stalled_seconds_total",
                           "pressure_io_waiting_seconds_total",
                           "pressure_memory_stalled_seconds_total",
                           "pressure_memory_waiting_seconds_total",
                           "processes",
                           "sockets",
                           "spec_cpu_period",
                           "spec_cpu_quota",
                           "spec_cpu_shares",
                           "spec_memory_limit_bytes",
                           "spec_memory_reservation_limit_bytes",
                           "spec_memory_swap_limit_bytes",
                           "start_time_seconds",
                           "threads",
                           "threads_max",
                           "ulimits_soft"}) {
    EXPECT_TRUE(names.contains(std::string("container_") + name)) << name;
  }
}

TEST(PodMetricsTest, EverySampleHasItsDescriptorsLabels) {
  std::map<std::string, int> labels;
  const v1::ListMetricDescriptorsResponse response = MetricDescriptors();
  for (const auto& descriptor : response.descriptors()) {
    labels[descriptor.name()] = descriptor.label_keys_size();
  }
  std::set<std::string> sampled;
  for (const auto& samples :
       {ContainerMetricSamples(Reading()), PodMetricSamples(Reading(), {{.name = "eth0"}})}) {
    for (const v1::Metric& metric : samples) {
      ASSERT_TRUE(labels.contains(metric.name())) << metric.name();
      EXPECT_EQ(metric.label_values_size(), labels[metric.name()]) << metric.name();
      EXPECT_GT(metric.timestamp(), 0) << metric.name();
      sampled.insert(metric.name());
    }
  }
  for (const auto& [name, count] : labels)
    EXPECT_TRUE(sampled.contains(name)) << name << " has no sample";
}

TEST(PodMetricsTest, LimitsAreTheKernels) {
  MetricsReading reading = Reading();
  reading.resources.set_memory_limit_in_bytes(80'000'000);
  for (const v1::Metric& metric : ContainerMetricSamples(reading)) {
    if (metric.name() == "container_spec_memory_limit_bytes") {
      const auto limit = static_cast<int64_t>(metric.value().value());
      const int64_t page = ::sysconf(_SC_PAGESIZE);
      EXPECT_EQ(limit % page, 0);
      EXPECT_LE(std::abs(limit - 80'000'000), page);
      return;
    }
  }
  FAIL() << "no limit";
}

TEST(PodMetricsTest, SwapIsLimitedWithTheMemoryWhereNothingElseIsSaid) {
  const auto limit = [](const MetricsReading& reading) {
    for (const v1::Metric& metric : ContainerMetricSamples(reading)) {
      if (metric.name() == "container_spec_memory_swap_limit_bytes") return metric.value().value();
    }
    return ~uint64_t{0};
  };
  MetricsReading reading = Reading();
  EXPECT_EQ(limit(reading), 0u);
  reading.resources.set_memory_limit_in_bytes(64 << 20);
  EXPECT_EQ(limit(reading), 64u << 20);
  reading.resources.set_memory_swap_limit_in_bytes(96 << 20);
  EXPECT_EQ(limit(reading), 96u << 20);
}

TEST(PodMetricsTest, LoopbackIsNoNetwork) {
  for (const v1::Metric& metric : PodMetricSamples(Reading(), {{.name = "lo"}})) {
    EXPECT_EQ(metric.name().find("network"), std::string::npos) << metric.name();
  }
}

}  // namespace
}  // namespace crisp::cri
