#include "metrics/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "metrics/process.h"

namespace crisp::metrics {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(RegistryTest, ShowsValuesWithTheirLabels) {
  Registry registry;
  registry.Increment(kRpcsFinished, {"Version", "OK"});
  registry.Increment(kRpcsFinished, {"Version", "OK"}, 2);
  registry.Set(kImages, 7);
  registry.Add(kRpcsInFlight, 3);
  registry.Add(kRpcsInFlight, -1);
  const std::string text = registry.Text();
  EXPECT_THAT(text, HasSubstr("crisp_rpcs_total{code=\"OK\",method=\"Version\"} 3"));
  EXPECT_THAT(text, HasSubstr("# TYPE crisp_rpcs_total counter"));
  EXPECT_THAT(text, HasSubstr("crisp_images 7"));
  EXPECT_THAT(text, HasSubstr("crisp_rpcs_in_flight 2"));
}

TEST(RegistryTest, HistogramsCountIntoBuckets) {
  Registry registry;
  registry.Observe(kRpcSeconds, 0.002, {"Status"});
  const std::string text = registry.Text();
  EXPECT_THAT(text,
              HasSubstr("crisp_rpc_duration_seconds_bucket{method=\"Status\",le=\"0.0025\"} 1"));
  EXPECT_THAT(text,
              HasSubstr("crisp_rpc_duration_seconds_bucket{method=\"Status\",le=\"0.001\"} 0"));
  EXPECT_THAT(text, HasSubstr("crisp_rpc_duration_seconds_count{method=\"Status\"} 1"));
}

TEST(RegistryTest, AsksCallbacksAtEachScrapeUntilTheHandleGoes) {
  Registry registry;
  double value = 1;
  auto handle = registry.OnScrape(kNetworkReady, [&] { return value++; });
  EXPECT_THAT(registry.Text(), HasSubstr("crisp_network_ready 1"));
  EXPECT_THAT(registry.Text(), HasSubstr("crisp_network_ready 2"));
  handle.reset();
  EXPECT_THAT(registry.Text(), Not(HasSubstr("crisp_network_ready")));
}

TEST(RegistryTest, CallbacksOfOneFamilyStandTogether) {
  Registry registry;
  const auto ready = registry.OnScrape(kPods, [] { return 3.0; }, {"ready"});
  const auto images = registry.OnScrape(kImages, [] { return 1.0; });
  const auto others = registry.OnScrape(kPods, [] { return 4.0; }, {"notready"});
  EXPECT_THAT(registry.Text(), HasSubstr("# TYPE crisp_pods gauge\n"
                                         "crisp_pods{state=\"ready\"} 3\n"
                                         "crisp_pods{state=\"notready\"} 4\n"));
}

TEST(RegistryTest, CountsFromManyThreads) {
  Registry registry;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) registry.Increment(kRpcsFinished, {"Status", "OK"});
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(registry.Text(), HasSubstr("crisp_rpcs_total{code=\"OK\",method=\"Status\"} 8000"));
}

TEST(RegistryDeathTest, RefusesWrongUse) {
  Registry registry;
  EXPECT_DEATH(registry.Increment(kImages), "");
  EXPECT_DEATH(registry.Set(kImages, 1, {"surplus"}), "");
  EXPECT_DEATH(registry.Increment(kRpcsFinished, {"Status"}), "");
  EXPECT_DEATH((void)registry.OnScrape(kPods, [] { return 0.0; }), "");
}

TEST(NamesTest, FollowThePrometheusRules) {
  std::set<std::string> names;
#define CHECK_FAMILY(id, kind, name, help, labels)                                      \
  EXPECT_TRUE(names.insert(name).second) << name << " is declared twice";               \
  EXPECT_TRUE(absl::StartsWith(name, "crisp_") || absl::StartsWith(name, "process_"));  \
  EXPECT_EQ(id.type == Family::Type::kCounter, absl::EndsWith(name, "_total")) << name; \
  EXPECT_TRUE(absl::EndsWith(help, ".")) << name;
  CRISP_METRICS_TABLE(CHECK_FAMILY)
#undef CHECK_FAMILY
}

TEST(ProcessTest, ReadsTheProcess) {
  Registry registry;
  auto handles = AddProcessMetrics(registry, "1.2.3");
  const std::string text = registry.Text();
  EXPECT_THAT(text, HasSubstr("crisp_build_info{version=\"1.2.3\"} 1"));
  for (const char* name : {"process_resident_memory_bytes", "process_open_fds", "process_threads",
                           "process_start_time_seconds", "process_max_fds"}) {
    double value = 0;
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      const std::vector<std::string> words = absl::StrSplit(line, ' ');
      if (words.size() == 2 && words[0] == name) value = std::stod(words[1]);
    }
    EXPECT_GT(value, 0) << name;
  }
}

}  // namespace
}  // namespace crisp::metrics
