#include "bench/samples/samples.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace crisp::bench {
namespace {

struct Quantiles {
  double min, p50, p95, p99, max;
};

// Of at least one value.
Quantiles QuantilesOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto at = [&values](double q) {
    return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
  };
  return {at(0), at(0.5), at(0.95), at(0.99), at(1)};
}

}  // namespace

void Samples::Add(const std::string& step, double microseconds) {
  auto [at, fresh] = values_.try_emplace(step);
  if (fresh) order_.push_back(step);
  at->second.push_back(microseconds);
}

void Samples::Merge(const Samples& other) {
  for (const std::string& step : other.order_) {
    for (const double value : other.values_.at(step)) Add(step, value);
  }
}

void Samples::Clear() {
  order_.clear();
  values_.clear();
}

nlohmann::ordered_json Samples::ToJson() const {
  nlohmann::ordered_json all = nlohmann::ordered_json::object();
  for (const std::string& step : order_) {
    const std::vector<double>& values = values_.at(step);
    const Quantiles q = QuantilesOf(values);
    all[step] = {{"min", q.min}, {"p50", q.p50}, {"p95", q.p95},
                 {"p99", q.p99}, {"max", q.max}, {"n", values.size()}};
  }
  return all;
}

std::string Samples::ToTable() const {
  char line[160];
  std::snprintf(line, sizeof(line), "%-20s %9s %9s %9s %9s %9s %6s\n", "step, µs", "min", "p50",
                "p95", "p99", "max", "n");
  std::string table = line;
  for (const std::string& step : order_) {
    const std::vector<double>& values = values_.at(step);
    const Quantiles q = QuantilesOf(values);
    std::snprintf(line, sizeof(line), "%-19s %9.0f %9.0f %9.0f %9.0f %9.0f %6zu\n", step.c_str(),
                  q.min, q.p50, q.p95, q.p99, q.max, values.size());
    table += line;
  }
  return table;
}

double Now() {
  return std::chrono::duration<double, std::micro>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace crisp::bench
