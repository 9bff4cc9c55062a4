#ifndef CRISP_BENCH_SAMPLES_SAMPLES_H_
#define CRISP_BENCH_SAMPLES_SAMPLES_H_

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace crisp::bench {

// Durations of named steps in microseconds, and their percentiles. Not thread-safe.
class Samples {
 public:
  void Add(const std::string& step, double microseconds);
  void Merge(const Samples& other);
  void Clear();

  // Steps stand in the order in which they were first added.
  // {"step": {"min", "p50", "p95", "p99", "max", "n"}, …}; ToTable() is the same for people.
  nlohmann::ordered_json ToJson() const;
  std::string ToTable() const;

 private:
  std::vector<std::string> order_;
  std::map<std::string, std::vector<double>> values_;
};

// Microseconds of the monotonic clock.
double Now();

}  // namespace crisp::bench

#endif  // CRISP_BENCH_SAMPLES_SAMPLES_H_
