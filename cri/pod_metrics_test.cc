#include "cri/pod_metrics.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace crisp::cri {
namespace {

MetricsReading Reading() {
  MetricsReading reading{.id = "i", .name = "n", .image = "m", .pod_namespace = "s", .pod = "p", .container = "c"};
  reading.stats.at = absl::FromUnixSeconds(100);
  reading.stats.io.devices = {{.major = 8, .minor = 1, .read_bytes = 3}};
  reading.stats.cpu.pressure.emplace();
  reading.stats.memory.pressure.emplace();
  reading.stats.io.pressure.emplace();
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
  for (const auto& [name, count] : labels) EXPECT_TRUE(sampled.contains(name)) << name << " has no sample";
}

TEST(PodMetricsTest, LoopbackIsNoNetwork) {
  for (const v1::Metric& metric : PodMetricSamples(Reading(), {{.name = "lo"}})) {
    EXPECT_EQ(metric.name().find("network"), std::string::npos) << metric.name();
  }
}

}  // namespace
}  // namespace crisp::cri
