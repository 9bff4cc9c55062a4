#ifndef CRISP_BENCH_REPORT_LIMITS_H_
#define CRISP_BENCH_REPORT_LIMITS_H_

#include <optional>
#include <string>

#include "bench/report/results.h"

namespace crisp::bench {

// Figures that come from several others.

struct Shape {
  const char* name;
  const char* text;
};
inline constexpr Shape kShapes[] = {{"small", "a small image"},
                                    {"big", "1 GB in 10 layers"},
                                    {"many", "100,000 small files"},
                                    {"deep", "60 layers"}};

// The time below which no pull on this machine can be, in microseconds. It is the slowest of
// fetching, of inflating and hashing on all cores (of one layer's stream, the slower of the two),
// and of writing.
std::optional<double> PullLimit(const Results& results, const std::string& shape);

// Kilobytes. "Per pod" counts all processes other than the daemon, and the growth of the daemon
// since there was no pod. It is unknown where the daemon has shrunk, because it then held memory of
// an earlier load.
struct MemoryOfPods {
  std::optional<double> pss_per_pod, private_per_pod, daemon_growth_per_pod, daemon_pss;
};
MemoryOfPods MemoryAt(const Results& results, const std::string& contender, int pods);

}  // namespace crisp::bench

#endif  // CRISP_BENCH_REPORT_LIMITS_H_
