#ifndef CRISP_BENCH_REPORT_CHARTS_H_
#define CRISP_BENCH_REPORT_CHARTS_H_

#include <string>
#include <vector>

#include "bench/report/plot.h"
#include "bench/report/results.h"

namespace crisp::bench {

struct NamedChart {
  std::string file;  // "performance-start.svg"
  Chart chart;
};

// The charts for which the run has figures.
std::vector<NamedChart> ChartsOf(const Results& results);

}  // namespace crisp::bench

#endif  // CRISP_BENCH_REPORT_CHARTS_H_
