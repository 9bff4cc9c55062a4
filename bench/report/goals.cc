#include "bench/report/goals.h"

#include <functional>

#include "bench/report/limits.h"

namespace crisp::bench {
namespace {

class Judge {
 public:
  explicit Judge(const Results& results) : results_(results) {}

  std::vector<GoalRow> Take() { return std::move(rows_); }
  const Results& results() const { return results_; }

  // crisp's figure against a number.
  void AtMost(const std::string& measure,
              const std::string& goal,
              std::optional<double> value,
              double limit,
              const std::function<std::string(double)>& text) {
    if (!value) return Missing(measure, goal);
    rows_.push_back(
        {measure, goal, text(*value), *value <= limit ? Verdict::kOk : Verdict::kShort});
  }

  // How many times better crisp is than `other`: times other/crisp, or rates crisp/other.
  void Better(const std::string& measure,
              double factor,
              std::optional<double> crisp,
              std::optional<Named> other,
              const std::function<std::string(double)>& text,
              bool rates = false) {
    const std::string goal =
        rates ? "≥ " + Number(factor) + "× " : "≤ 1/" + Number(factor) + " of ";
    if (!crisp || !other)
      return Missing(measure, goal + (other ? Title(other->contender) : "peers"));
    const double times = rates ? *crisp / other->value : other->value / *crisp;
    rows_.push_back({measure, goal + Title(other->contender),
                     (rates ? Number(times) + "×" : "1/" + Number(times)) + " (" + text(*crisp) +
                         ", " + text(other->value) + ")",
                     times >= factor ? Verdict::kOk : Verdict::kShort});
  }

  // At most `factor` times what cannot be undercut.
  void Within(const std::string& measure,
              double factor,
              const std::string& limit_name,
              std::optional<double> value,
              std::optional<double> limit,
              const std::function<std::string(double)>& text) {
    const std::string goal = "≤ " + Number(factor) + "× " + limit_name;
    if (!value || !limit) return Missing(measure, goal);
    rows_.push_back({measure, goal,
                     Number(*value / *limit) + "× (" + text(*value) + ", " + text(*limit) + ")",
                     *value <= *limit * factor ? Verdict::kOk : Verdict::kShort});
  }

 private:
  void Missing(const std::string& measure, const std::string& goal) {
    rows_.push_back({measure, goal, "–", Verdict::kNotMeasured});
  }

  const Results& results_;
  std::vector<GoalRow> rows_;
};

std::optional<Named> Debian(const Results& results, const std::string& path) {
  const auto value = results.Get("latency", "debian", path);
  if (!value) return std::nullopt;
  return Named{"debian", *value};
}

void JudgeStarts(Judge* judge) {
  const Results& r = judge->results();
  const std::string measure = "RunPodSandbox + Create + Start, p50";
  const auto crisp = r.Get("latency", kCrisp, "/start/p50");
  judge->Better(measure, 30, crisp, Debian(r, "/start/p50"), Micros);
  judge->Better(measure, 15, crisp, r.BestPeer("latency", "/start/p50"), Micros);
  judge->Within(measure, 2, "the floor program", crisp,
                r.Get("floor", kKernel, "/= pod+create+start/p50"), Micros);
  judge->AtMost("the same, p99", "≤ 15 ms", r.Get("latency", kCrisp, "/start/p99"), 15e3, Micros);
}

void JudgeBursts(Judge* judge) {
  const Results& r = judge->results();
  const auto rate = [](double value) { return Number(value) + "/s"; };
  for (const int pods : {50, 110}) {
    const Where where = {"/pods", pods};
    judge->Better("burst of " + std::to_string(pods) + ", pods per second", 10,
                  r.Get("burst", kCrisp, "/per_second", where),
                  r.BestPeer("burst", "/per_second", where, true), rate, true);
  }
  const Where fifty = {"/pods", 50};
  const auto crisp = r.Get("burst", kCrisp, "/micros", fifty);
  judge->Within("burst of 50, time until all run", 1.5, "the kernel's for their networks", crisp,
                r.Get("floor-networks", kKernel, "/micros", fifty), Micros);
}

void JudgeEndsAndExecs(Judge* judge) {
  const Results& r = judge->results();
  judge->Better("stop and remove container and pod, p50", 20, r.Get("latency", kCrisp, "/end/p50"),
                r.BestPeer("latency", "/end/p50"), Micros);
  const auto exec = r.Get("latency", kCrisp, "/ExecSync/p50");
  judge->AtMost("ExecSync of true, p50", "≤ 1.5 ms", exec, 1500, Micros);
  judge->Better("ExecSync of true, p50", 15, exec, r.BestPeer("latency", "/ExecSync/p50"), Micros);
}

void JudgeMemory(Judge* judge) {
  const MemoryOfPods memory = MemoryAt(judge->results(), kCrisp, 110);
  judge->AtMost("private memory per idle pod, all processes, 110 pods", "≤ 150 kB",
                memory.private_per_pod, 150, Kilobytes);
  judge->AtMost("PSS per idle pod, all processes, 110 pods", "≤ 250 kB", memory.pss_per_pod, 250,
                Kilobytes);
  judge->AtMost("the daemon's growth per pod", "≤ 20 kB", memory.daemon_growth_per_pod, 20,
                Kilobytes);
  judge->AtMost("the daemon's PSS, 110 pods", "≤ 30 MB", memory.daemon_pss, 30000, Kilobytes);
}

void JudgeThousand(Judge* judge) {
  const Results& r = judge->results();
  const Where where = {"/at", 1000};
  const auto ready = r.Get("node-start", kCrisp, "/micros", where);
  judge->AtMost("1,000 pods on the node", "all running", ready, 1e12,
                [](double micros) { return "all after " + Micros(micros); });
  judge->AtMost("ListPodSandbox with 1,000 pods, p99", "≤ 5 ms",
                r.Get("queries", kCrisp, "/ListPodSandbox/p99", where), 5e3, Micros);
  judge->AtMost("ListContainers with 1,000 pods, p99", "≤ 5 ms",
                r.Get("queries", kCrisp, "/ListContainers/p99", where), 5e3, Micros);
  const auto idle = r.Get("idle", kCrisp, "/cores", where);
  judge->AtMost("idle CPU with 1,000 pods", "≤ 0.5 % of a core", idle, 0.005,
                [](double cores) { return Number(cores * 100) + " %"; });
  judge->Within("one more pod with 1,000", 2, "the first",
                r.Get("one-more", kCrisp, "/start/p50", where),
                r.Get("latency", kCrisp, "/start/p50"), Micros);
}

void JudgePulls(Judge* judge) {
  const Results& r = judge->results();
  for (const Shape& shape : kShapes) {
    const Where where = {"/shape", shape.name};
    const auto crisp = r.Get("pull", kCrisp, "/micros", where);
    judge->Better(std::string("pull of ") + shape.text, 2, crisp,
                  r.BestPeer("pull", "/micros", where), Micros);
    judge->Within(std::string("pull of ") + shape.text, 1.3, "the physical limit", crisp,
                  PullLimit(r, shape.name), Micros);
  }
}

void JudgeSustained(Judge* judge) {
  const Results& r = judge->results();
  const auto per_exec = [&r](const std::string& contender) -> std::optional<double> {
    const auto cpu = r.Get("execs", contender, "/cpu"), done = r.Get("execs", contender, "/done");
    if (!cpu || !done || *done == 0) return std::nullopt;
    return *cpu / *done * 1e6;
  };
  std::optional<Named> best;
  for (const std::string& contender : r.Contenders()) {
    const auto value = contender == kCrisp ? std::nullopt : per_exec(contender);
    if (value && (!best || *value < best->value)) best = Named{contender, *value};
  }
  judge->Better("exec probes at 100/s, runtime CPU each", 10, per_exec(kCrisp), best, Micros);
  const auto seconds = r.Get("restart", kCrisp, "/seconds", Where{"/pods", 500});
  judge->AtMost("restart with 500 pods to first correct List", "≤ 150 ms", seconds, 0.15,
                [](double value) { return Micros(value * 1e6); });
}

}  // namespace

std::vector<GoalRow> JudgeGoals(const Results& results) {
  Judge judge(results);
  JudgeStarts(&judge);
  JudgeBursts(&judge);
  JudgeEndsAndExecs(&judge);
  JudgeMemory(&judge);
  JudgeThousand(&judge);
  JudgePulls(&judge);
  JudgeSustained(&judge);
  return judge.Take();
}

const char* VerdictText(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok";
    case Verdict::kShort:
      return "short";
    case Verdict::kNotMeasured:
      return "not measured";
  }
  return "";
}

}  // namespace crisp::bench
