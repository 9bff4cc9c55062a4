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

// What no pull can undercut on this machine, in microseconds: the slowest of fetching, of inflating
// and hashing on all cores (of one layer's stream, the slower of the two), and of writing.
std::optional<double> PullLimit(const Results& results, const std::string& shape);

// Kilobytes. "Per pod" counts all processes that are not the daemon, and what the daemon has grown
// since there was no pod; unknown where it has shrunk, for it then held what an earlier load left.
struct MemoryOfPods {
  std::optional<double> pss_per_pod, private_per_pod, daemon_growth_per_pod, daemon_pss;
};
MemoryOfPods MemoryAt(const Results& results, const std::string& contender, int pods);

}  // namespace crisp::bench

#endif  // CRISP_BENCH_REPORT_LIMITS_H_
