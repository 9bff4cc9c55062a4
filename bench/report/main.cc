// bench-report: from what hack/bench.sh recorded, the table of goals (to stdout),
// docs/performance.md between its markers, and the plots beside it.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "bench/report/charts.h"
#include "bench/report/goals.h"
#include "bench/report/markdown.h"
#include "bench/report/results.h"

namespace crisp::bench {
namespace {

// Columns of UTF-8 text.
size_t Width(const std::string& text) {
  size_t width = 0;
  for (const char c : text) width += (static_cast<unsigned char>(c) & 0xc0) != 0x80 ? 1 : 0;
  return width;
}

std::string Pad(const std::string& text, size_t width) {
  const size_t now = Width(text);
  return text + std::string(now < width ? width - now : 0, ' ');
}

void PrintGoals(const std::vector<GoalRow>& goals) {
  size_t widths[3] = {};
  for (const GoalRow& row : goals) {
    widths[0] = std::max(widths[0], Width(row.measure));
    widths[1] = std::max(widths[1], Width(row.goal));
    widths[2] = std::max(widths[2], Width(row.value));
  }
  int met = 0, missed = 0;
  for (const GoalRow& row : goals) {
    std::printf("%s  %s  %s  %s\n", Pad(row.measure, widths[0]).c_str(),
                Pad(row.goal, widths[1]).c_str(), Pad(row.value, widths[2]).c_str(),
                VerdictText(row.verdict));
    met += row.verdict == Verdict::kOk ? 1 : 0;
    missed += row.verdict == Verdict::kShort ? 1 : 0;
  }
  std::printf("%d of %zu goals ok, %d short\n", met, goals.size(), missed);
}

bool WriteDocs(const std::string& directory,
               const Results& results,
               const std::vector<GoalRow>& goals) {
  const std::vector<NamedChart> charts = ChartsOf(results);
  for (const NamedChart& one : charts) {
    std::ofstream(directory + "/" + one.file) << DrawBars(one.chart);
  }
  const std::string path = directory + "/performance.md";
  std::stringstream document;
  document << std::ifstream(path).rdbuf();
  const std::string text = Insert(document.str(), Markdown(results, goals, charts));
  if (text.empty()) {
    std::fprintf(stderr, "bench-report: %s has no bench markers\n", path.c_str());
    return false;
  }
  std::ofstream(path) << text;
  return true;
}

}  // namespace
}  // namespace crisp::bench

int main(int argc, char** argv) {
  using namespace crisp::bench;
  std::string path, docs;
  CLI::App app("reports a run of hack/bench.sh");
  app.add_option("results", path, "lines of JSON")->required();
  app.add_option("--docs", docs, "folder of performance.md");
  CLI11_PARSE(app, argc, argv);
  const Results results = Results::Load(path);
  const std::vector<GoalRow> goals = JudgeGoals(results);
  PrintGoals(goals);
  return docs.empty() || WriteDocs(docs, results, goals) ? 0 : 1;
}
