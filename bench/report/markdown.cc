#include "bench/report/markdown.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <sstream>

#include "bench/report/limits.h"

namespace crisp::bench {
namespace {

constexpr char kBegin[] = "<!-- bench: begin -->\n", kEnd[] = "<!-- bench: end -->\n";

using Text = std::function<std::string(double)>;

// A table with a column for each contender that it has a figure of; the ratio stands behind a
// peer's.
class Table {
 public:
  Table(const Results& results, const std::string& first, bool high_is_good = false)
      : contenders_(results.Contenders()), first_(first), high_is_good_(high_is_good) {}

  // Nothing when nobody has a value.
  void Row(const std::string& label,
           const std::function<std::optional<double>(const std::string&)>& value,
           const Text& text) {
    const auto crisp = value(kCrisp);
    std::vector<std::string> cells;
    for (const std::string& one : contenders_) {
      const auto here = value(one);
      std::string cell = here ? text(*here) : "";
      if (here && crisp && one != kCrisp && *crisp > 0 && *here > 0) {
        cell += " (" + Number(high_is_good_ ? *crisp / *here : *here / *crisp) + "×)";
      }
      if (here) shown_.insert(one);
      cells.push_back(std::move(cell));
    }
    const bool any =
        std::any_of(cells.begin(), cells.end(), [](const auto& c) { return !c.empty(); });
    if (any) rows_.emplace_back(label, std::move(cells));
  }

  std::string Take() const {
    if (rows_.empty()) return "";
    std::vector<std::string> titles;
    for (const std::string& one : contenders_) titles.push_back(Title(one));
    std::ostringstream out;
    PutLine(&out, first_, titles);
    PutLine(&out, "---", std::vector<std::string>(titles.size(), "---"));
    for (const auto& [label, cells] : rows_) PutLine(&out, label, cells);
    return out.str() + "\n";
  }

 private:
  void PutLine(std::ostringstream* out,
               const std::string& label,
               const std::vector<std::string>& cells) const {
    *out << "| " << label << " |";
    for (size_t i = 0; i < cells.size(); ++i) {
      if (shown_.contains(contenders_[i]))
        *out << " " << (cells[i].empty() ? "–" : cells[i]) << " |";
    }
    *out << "\n";
  }

  const std::vector<std::string> contenders_;
  const std::string first_;
  const bool high_is_good_;
  std::set<std::string> shown_;
  std::vector<std::pair<std::string, std::vector<std::string>>> rows_;
};

std::string Machine(const Results& results) {
  const Json& v = results.Versions();
  const auto text = [&v](const char* key) { return v.value(key, std::string("?")); };
  std::ostringstream out;
  out << "Measured " << text("date") << " by `hack/bench.sh" << text("arguments") << "` on "
      << v.value("cores", 0) << " cores of " << text("cpu") << ", Linux " << text("kernel")
      << ", cgroup " << text("cgroups") << ".\n\n"
      << "| contender | versions |\n|---|---|\n"
      << "| crisp | " << text("crisp") << " at " << text("commit") << ", its own network |\n"
      << "| " << Title("containerd") << " | containerd " << text("containerd") << ", runc "
      << text("runc") << ", CNI plugins " << text("cni") << ", with " << text("helpers") << " |\n"
      << "| " << Title("debian") << " | containerd " << text("debian_containerd") << ", runc "
      << text("debian_runc") << ", CNI plugins " << text("debian_cni") << " |\n"
      << "| " << Title("debian-crun") << " | the same with crun " << text("crun") << " |\n\n";
  return out.str();
}

std::string Goals(const std::vector<GoalRow>& goals) {
  std::ostringstream out;
  out << "| measure | goal | value | |\n|---|---|---|---|\n";
  for (const GoalRow& row : goals) {
    out << "| " << row.measure << " | " << row.goal << " | " << row.value << " | "
        << VerdictText(row.verdict) << " |\n";
  }
  return out.str() + "\n";
}

std::string Latencies(const Results& r) {
  Table table(r, "step, p50");
  for (const char* step :
       {"RunPodSandbox", "CreateContainer", "StartContainer", "start", "ExecSync", "StopContainer",
        "RemoveContainer", "StopPodSandbox", "RemovePodSandbox", "end"}) {
    const std::string path = std::string("/") + step;
    const std::string label = path == "/start" ? "**the three together**"
                              : path == "/end" ? "**the four together**"
                                               : step;
    table.Row(
        label, [&](const std::string& one) { return r.Get("latency", one, path + "/p50"); },
        Micros);
    if (path != "/start" && path != "/end" && path != "/ExecSync") continue;
    for (const char* quantile : {"p95", "p99"}) {
      table.Row(
          std::string("– ") + quantile,
          [&](const std::string& one) { return r.Get("latency", one, path + "/" + quantile); },
          Micros);
    }
  }
  return table.Take();
}

std::string Critest(const Results& r) {
  Table table(r, "critest's own benchmark, p50");
  for (const char* step :
       {"CreatePod", "CreateContainer", "StartContainer", "StatusContainer", "StatusPod",
        "StopContainer", "RemoveContainer", "StopPod", "RemovePod"}) {
    table.Row(
        step,
        [&](const std::string& one) { return r.Get("critest", one, std::string("/") + step); },
        Micros);
  }
  return table.Take();
}

std::string Bursts(const Results& r) {
  Table table(r, "pods at the same time", true);
  for (const int pods : {1, 10, 50, 110}) {
    table.Row(
        std::to_string(pods),
        [&](const std::string& one) {
          return r.Get("burst", one, "/per_second", Where{"/pods", pods});
        },
        [](double rate) { return Number(rate) + "/s"; });
  }
  return table.Take();
}

std::string Nodes(const Results& r) {
  Table table(r, "pods on the node");
  for (const int pods : {110, 500, 1000}) {
    const Where at = {"/at", pods};
    const std::string head = std::to_string(pods) + ": ";
    const auto row = [&](const char* label, const char* measure, const char* path,
                         const Text& text) {
      table.Row(
          head + label, [&](const std::string& one) { return r.Get(measure, one, path, at); },
          text);
    };
    row("all running after", "node-start", "/micros", Micros);
    table.Row(
        head + "memory per pod, PSS",
        [&](const std::string& one) { return MemoryAt(r, one, pods).pss_per_pod; }, Kilobytes);
    table.Row(
        head + "memory per pod, private",
        [&](const std::string& one) { return MemoryAt(r, one, pods).private_per_pod; }, Kilobytes);
    table.Row(
        head + "the daemon, PSS",
        [&](const std::string& one) { return MemoryAt(r, one, pods).daemon_pss; }, Kilobytes);
    row("idle CPU", "idle", "/cores", [](double cores) { return Number(cores * 100) + " %"; });
    row("ListPodSandbox, p99", "queries", "/ListPodSandbox/p99", Micros);
    row("ListContainers, p99", "queries", "/ListContainers/p99", Micros);
    row("ListContainerStats, p50", "queries", "/ListContainerStats/p50", Micros);
    row("ContainerStatus, p50", "queries", "/ContainerStatus/p50", Micros);
    row("one more pod", "one-more", "/start/p50", Micros);
    row("scrape of /metrics", "scrape", "/ms", [](double ms) { return Micros(ms * 1000); });
    row("all ended after", "node-end", "/micros", Micros);
  }
  return table.Take();
}

std::string Pulls(const Results& r) {
  Table table(r, "pull");
  for (const Shape& shape : kShapes) {
    const Where where = {"/shape", shape.name};
    const auto limit = PullLimit(r, shape.name);
    table.Row(
        shape.text + (limit ? " (limit " + Micros(*limit) + ")" : std::string()),
        [&](const std::string& one) { return r.Get("pull", one, "/micros", where); }, Micros);
    table.Row(
        "– CPU of the runtime",
        [&](const std::string& one) -> std::optional<double> {
          const auto cpu = r.Get("pull", one, "/cpu", where);
          return cpu ? std::optional<double>(*cpu * 1e6) : std::nullopt;
        },
        Micros);
  }
  for (const Shape& shape : kShapes) {
    table.Row(
        std::string(shape.text) + " over 1 Gb/s",
        [&](const std::string& one) {
          return r.Get("pull-1gbit", one, "/micros", Where{"/shape", shape.name});
        },
        Micros);
  }
  return table.Take();
}

std::string Sustained(const Results& r) {
  Table table(r, "under load");
  const auto row = [&](const char* label, const char* measure, const char* path, const Text& text) {
    table.Row(
        label, [&](const std::string& one) { return r.Get(measure, one, path); }, text);
  };
  const Text seconds = [](double value) { return Micros(value * 1e6); };
  row("exec probes at 100/s: latency, p50", "execs", "/exec/p50", Micros);
  row("– p99", "execs", "/exec/p99", Micros);
  row("– CPU time of the runtime", "execs", "/cpu", seconds);
  row("1 GB of log at 200 MB/s (5 s)", "writer", "/seconds", seconds);
  row("– CPU time of the runtime", "writer", "/cpu", seconds);
  for (const int pods : {110, 500}) {
    table.Row(
        "restart with " + std::to_string(pods) + " pods, to a correct List",
        [&](const std::string& one) {
          return r.Get("restart", one, "/seconds", Where{"/pods", pods});
        },
        seconds);
  }
  return table.Take();
}

std::string Floor(const Results& r) {
  std::ostringstream out;
  out << "| the kernel's floor | p50 | p95 | p99 |\n|---|---|---|---|\n";
  bool any = false;
  for (const auto& [label, key] : {std::pair{"pod: namespaces, network, files", "= pod"},
                                   {"create: cgroups, mounts", "= create"},
                                   {"start: clone to exec", "= start"},
                                   {"the three together", "= pod+create+start"},
                                   {"exec of true", "= exec"},
                                   {"end: kill, reap, cgroups, files", "= end"}}) {
    const std::string path = std::string("/") + key;
    const auto p50 = r.Get("floor", kKernel, path + "/p50");
    if (!p50) continue;
    any = true;
    out << "| " << label << " | " << Micros(*p50) << " | "
        << Micros(r.Get("floor", kKernel, path + "/p95").value_or(0)) << " | "
        << Micros(r.Get("floor", kKernel, path + "/p99").value_or(0)) << " |\n";
  }
  return any ? out.str() + "\n" : "";
}

std::string Image(const std::vector<NamedChart>& charts, const std::string& file) {
  for (const NamedChart& one : charts) {
    if (one.file == file) return "![" + one.chart.title + "](" + file + ")\n\n";
  }
  return "";
}

}  // namespace

std::string Markdown(const Results& results,
                     const std::vector<GoalRow>& goals,
                     const std::vector<NamedChart>& charts) {
  std::ostringstream out;
  out << Image(charts, "performance-start.svg") << Machine(results) << "## Goals\n\n"
      << Goals(goals) << "## A pod's life\n\n"
      << Image(charts, "performance-life.svg") << Latencies(results) << Floor(results)
      << Critest(results);
  const std::pair<const char*, std::string> sections[] = {
      {"## Bursts\n\n", Image(charts, "performance-bursts.svg") + Bursts(results)},
      {"## A full node\n\n", Image(charts, "performance-memory.svg") +
                                 Image(charts, "performance-lists.svg") + Nodes(results)},
      {"## Pulls\n\n", Image(charts, "performance-pulls.svg") + Pulls(results)},
      {"## Under load\n\n", Sustained(results)}};
  for (const auto& [title, text] : sections) {
    if (!text.empty()) out << title << text;
  }
  std::string text = out.str();
  text.pop_back();
  return text;
}

std::string Insert(const std::string& document, const std::string& text) {
  const size_t begin = document.find(kBegin), end = document.find(kEnd);
  if (begin == std::string::npos || end == std::string::npos || end < begin) return "";
  const size_t from = begin + sizeof(kBegin) - 1;
  return document.substr(0, from) + "\n" + text + "\n" + document.substr(end);
}

}  // namespace crisp::bench
