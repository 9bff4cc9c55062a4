#include "bench/report/charts.h"

#include <functional>
#include <optional>

#include "bench/report/limits.h"

namespace crisp::bench {
namespace {

using Text = std::function<std::string(double)>;

// A group's bars: `value` of each contender that has one.
BarGroup GroupOf(const Results& results,
                 const std::string& label,
                 const std::function<std::optional<double>(const std::string&)>& value,
                 const Text& text) {
  BarGroup group{label, {}};
  for (const std::string& contender : results.Contenders()) {
    if (const auto one = value(contender)) group.bars.push_back({contender, *one, text(*one)});
  }
  return group;
}

void AddFloor(BarGroup* group, std::optional<double> value, const Text& text) {
  if (value && !group->bars.empty()) group->bars.push_back({kKernel, *value, text(*value)});
}

Chart Life(const Results& r) {
  Chart chart{
      "A pod with one container: median times", "Less is better; logarithmic scale", {}, true};
  const struct {
    const char* label;
    const char* path;
    const char* floor;
  } steps[] = {{"from nothing to running", "/start/p50", "/= pod+create+start/p50"},
               {"exec of true", "/ExecSync/p50", "/= exec/p50"},
               {"stop and remove", "/end/p50", "/= end/p50"}};
  for (const auto& step : steps) {
    BarGroup group = GroupOf(
        r, step.label, [&](const std::string& one) { return r.Get("latency", one, step.path); },
        Micros);
    AddFloor(&group, r.Get("floor", kKernel, step.floor), Micros);
    chart.groups.push_back(std::move(group));
  }
  return chart;
}

Chart Start(const Results& r) {
  Chart chart{"A pod with one container, from nothing to running", "Median; less is better", {}};
  BarGroup group = GroupOf(
      r, "median", [&](const std::string& one) { return r.Get("latency", one, "/start/p50"); },
      Micros);
  AddFloor(&group, r.Get("floor", kKernel, "/= pod+create+start/p50"), Micros);
  chart.groups.push_back(std::move(group));
  chart.groups.push_back(GroupOf(
      r, "99th percentile",
      [&](const std::string& one) { return r.Get("latency", one, "/start/p99"); }, Micros));
  return chart;
}

Chart Bursts(const Results& r) {
  const Text rate = [](double value) { return Number(value) + "/s"; };
  Chart chart{"Pods started per second, all at the same time", "More is better", {}};
  for (const int pods : {1, 10, 50, 110}) {
    const Where where = {"/pods", pods};
    BarGroup group = GroupOf(
        r, std::to_string(pods) + (pods == 1 ? " pod" : " pods"),
        [&](const std::string& one) { return r.Get("burst", one, "/per_second", where); }, rate);
    AddFloor(&group, r.Get("floor-burst", kKernel, "/per_second", where), rate);
    chart.groups.push_back(std::move(group));
  }
  return chart;
}

Chart Memory(const Results& r) {
  Chart chart{"Memory of the runtime per idle pod", "PSS of all its processes; less is better", {}};
  for (const int pods : {110, 500, 1000}) {
    chart.groups.push_back(GroupOf(
        r, std::to_string(pods) + " pods",
        [&](const std::string& one) { return MemoryAt(r, one, pods).pss_per_pod; }, Kilobytes));
  }
  return chart;
}

Chart Pulls(const Results& r) {
  Chart chart{"Pull and unpack an image",
              "Time from request to usable; less is better",
              {},
              false,
              "physical limit"};
  for (const Shape& shape : kShapes) {
    const Where where = {"/shape", shape.name};
    BarGroup group = GroupOf(
        r, shape.text, [&](const std::string& one) { return r.Get("pull", one, "/micros", where); },
        Micros);
    AddFloor(&group, PullLimit(r, shape.name), Micros);
    chart.groups.push_back(std::move(group));
  }
  return chart;
}

Chart Full(const Results& r) {
  Chart chart{"A node full of pods", "Median of ListContainers; less is better", {}};
  for (const int pods : {110, 500, 1000}) {
    const Where where = {"/at", pods};
    chart.groups.push_back(GroupOf(
        r, std::to_string(pods) + " pods",
        [&](const std::string& one) { return r.Get("queries", one, "/ListContainers/p50", where); },
        Micros));
  }
  return chart;
}

}  // namespace

std::vector<NamedChart> ChartsOf(const Results& results) {
  std::vector<NamedChart> charts = {
      {"performance-start.svg", Start(results)},   {"performance-life.svg", Life(results)},
      {"performance-bursts.svg", Bursts(results)}, {"performance-memory.svg", Memory(results)},
      {"performance-pulls.svg", Pulls(results)},   {"performance-lists.svg", Full(results)}};
  for (NamedChart& one : charts) {
    std::erase_if(one.chart.groups, [](const BarGroup& group) { return group.bars.empty(); });
  }
  std::erase_if(charts, [](const NamedChart& one) { return one.chart.groups.empty(); });
  return charts;
}

}  // namespace crisp::bench
