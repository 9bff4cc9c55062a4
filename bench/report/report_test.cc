#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/testing/temp_dir.h"
#include "bench/report/charts.h"
#include "bench/report/goals.h"
#include "bench/report/limits.h"
#include "bench/report/markdown.h"
#include "bench/report/results.h"

namespace crisp::bench {
namespace {

class ReportTest : public testing::Test {
 protected:
  ~ReportTest() override { std::filesystem::remove(path_); }

  void Add(const std::string& measure, const std::string& contender, const Json& data) {
    std::ofstream(path_, std::ios::app)
        << Json{{"measure", measure}, {"contender", contender}, {"data", data}}.dump() << "\n";
  }
  Results Load() { return Results::Load(path_); }
  GoalRow Goal(const std::string& measure, const std::string& goal) {
    for (const GoalRow& row : JudgeGoals(Load())) {
      if (row.measure == measure && row.goal == goal) return row;
    }
    return {};
  }

  const std::string path_ = testing::TempDir() + "/bench_report_test." +
                            testing::UnitTest::GetInstance()->current_test_info()->name() +
                            std::to_string(getpid());
};

Json Latency(double start) { return {{"start", {{"p50", start}, {"p99", 2 * start}}}}; }

TEST_F(ReportTest, RepetitionsCountByTheirMedianAndTheFastestPeerIsThePeer) {
  for (const double start : {9000, 1000, 5000}) Add("latency", "crisp", Latency(start));
  Add("latency", "debian", Latency(100000));
  Add("latency", "containerd", Latency(80000));
  const Results results = Load();
  EXPECT_EQ(results.Get("latency", "crisp", "/start/p50"), 5000);
  const auto best = results.BestPeer("latency", "/start/p50");
  ASSERT_TRUE(best);
  EXPECT_EQ(best->contender, "containerd");
  EXPECT_EQ(results.BestPeer("latency", "/start/p50", {}, true)->contender, "debian");
}

TEST_F(ReportTest, AGoalIsMetOrMissedByItsFigures) {
  Add("latency", "crisp", Latency(5000));
  Add("latency", "debian", Latency(200000));
  Add("latency", "containerd", Latency(70000));
  const std::string measure = "RunPodSandbox + Create + Start, p50";
  EXPECT_EQ(Goal(measure, "≤ 1/30 of Debian containerd + runc").verdict, Verdict::kOk);
  EXPECT_EQ(Goal(measure, "≤ 1/15 of containerd 2 + runc").verdict, Verdict::kShort);
  EXPECT_EQ(Goal(measure, "≤ 2× the floor program").verdict, Verdict::kNotMeasured);
  EXPECT_EQ(Goal("the same, p99", "≤ 15 ms").verdict, Verdict::kOk);
}

TEST_F(ReportTest, WhoeverIsFastestOfARunIsThePeerOfEveryGoalThatNamesNone) {
  const auto execs = [](double cpu) { return Json{{"cpu", cpu}, {"done", 1000}}; };
  const auto pull = [](double micros) { return Json{{"shape", "small"}, {"micros", micros}}; };
  const auto burst = [](double rate) { return Json{{"pods", 50}, {"per_second", rate}}; };
  for (const auto& [contender, slowness] :
       {std::pair{"crisp", 1.0}, {"containerd", 40.0}, {"newcomer", 20.0}, {"debian", 60.0}}) {
    Add("latency", contender, Latency(5000 * slowness));
    Add("pull", contender, pull(1000 * slowness));
    Add("burst", contender, burst(240 / slowness));
    Add("execs", contender, execs(slowness));
  }
  EXPECT_EQ(Goal("RunPodSandbox + Create + Start, p50", "≤ 1/15 of newcomer").verdict,
            Verdict::kOk);
  EXPECT_EQ(Goal("pull of a small image", "≤ 1/2 of newcomer").verdict, Verdict::kOk);
  EXPECT_EQ(Goal("burst of 50, pods per second", "≥ 10× newcomer").verdict, Verdict::kOk);
  EXPECT_EQ(Goal("exec probes at 100/s, runtime CPU each", "≤ 1/10 of newcomer").verdict,
            Verdict::kOk);
}

TEST_F(ReportTest, MemoryPerPodCountsTheDaemonsGrowth) {
  // Without pods, `before` says before how many.
  const auto memory = [](int pods, int daemon, int others, int before = 0) {
    Json line = {{"pods", pods},
                 {"daemon_pss", daemon},
                 {"daemon_private", daemon},
                 {"others_pss", others},
                 {"others_private", others}};
    if (pods == 0) line["before"] = before;
    return line;
  };
  Add("memory", "crisp", memory(0, 10000, 100, 110));
  Add("memory", "crisp", memory(110, 12200, 6700));
  Add("memory", "crisp", memory(0, 13000, 200, 1000));
  const MemoryOfPods at = MemoryAt(Load(), "crisp", 110);
  EXPECT_DOUBLE_EQ(*at.daemon_growth_per_pod, 20);
  EXPECT_DOUBLE_EQ(*at.pss_per_pod, 80);
  EXPECT_FALSE(MemoryAt(Load(), "crisp", 500).pss_per_pod);
  Add("memory", "containerd", memory(0, 10000, 0, 110));
  Add("memory", "containerd", memory(110, 9000, 6700));
  EXPECT_FALSE(MemoryAt(Load(), "containerd", 110).pss_per_pod);
  EXPECT_DOUBLE_EQ(*MemoryAt(Load(), "containerd", 110).daemon_pss, 9000);
}

TEST_F(ReportTest, APullsLimitIsItsSlowestStage) {
  Add("versions", "all", {{"cores", 2}});
  Json stages = {{"shape", "big"}, {"layers", 10},  {"fetch", 0.5}, {"inflate", 3.0},
                 {"hash", 1.0},    {"write", 0.75}, {"sync", 0.75}};
  Add("pull-limit", "kernel", stages);
  stages["shape"] = "many";
  stages["layers"] = 1;
  Add("pull-limit", "kernel", stages);
  EXPECT_DOUBLE_EQ(*PullLimit(Load(), "big"), 2e6);
  EXPECT_DOUBLE_EQ(*PullLimit(Load(), "many"), 3e6);
  EXPECT_FALSE(PullLimit(Load(), "deep"));
}

TEST_F(ReportTest, TheDocumentKeepsWhatIsAroundTheMarkers) {
  const std::string document = "before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n";
  EXPECT_EQ(Insert(document, "new"),
            "before\n<!-- bench: begin -->\n\nnew\n<!-- bench: end -->\nafter\n");
  EXPECT_EQ(Insert("no markers", "new"), "");
}

TEST_F(ReportTest, ChartsAndTablesShowOnlyWhatWasMeasured) {
  Add("latency", "crisp", Latency(5000));
  Add("pull", "crisp", {{"shape", "big"}, {"micros", 1000}});
  Add("pull", "debian", {{"shape", "big"}, {"micros", 3000}});
  const Results results = Load();
  const std::vector<NamedChart> charts = ChartsOf(results);
  std::vector<std::string> files;
  for (const NamedChart& one : charts) files.push_back(one.file);
  EXPECT_EQ(files, (std::vector<std::string>{"performance-start.svg", "performance-life.svg",
                                             "performance-pulls.svg"}));
  const std::string text = Markdown(results, JudgeGoals(results), charts);
  EXPECT_NE(text.find("| 1 GB in 10 layers | 1 ms | 3 ms (3×) |"), std::string::npos) << text;
  EXPECT_EQ(text.find("100,000 small files |"), text.find("100,000 small files | ≤"));
}

TEST(FormatTest, NumbersKeepTheDigitsThatMatter) {
  EXPECT_EQ(Micros(850.4), "850 µs");
  EXPECT_EQ(Micros(3912), "3.91 ms");
  EXPECT_EQ(Micros(1.25e6), "1.25 s");
  EXPECT_EQ(Kilobytes(24.04), "24.0 kB");
  EXPECT_EQ(Kilobytes(31020), "31.0 MB");
  EXPECT_EQ(Number(0.0123), "0.0123");
}

}  // namespace
}  // namespace crisp::bench
