#ifndef CRISP_HACK_BENCH_REPORT_CHARTS_H_
#define CRISP_HACK_BENCH_REPORT_CHARTS_H_

#include <string>
#include <vector>

#include "report/plot.h"
#include "report/results.h"

namespace crisp::bench {

struct NamedChart {
  std::string file;  // "performance-start.svg"
  Chart chart;
};

// Those that the run has figures for.
std::vector<NamedChart> ChartsOf(const Results& results);

}  // namespace crisp::bench

#endif  // CRISP_HACK_BENCH_REPORT_CHARTS_H_
