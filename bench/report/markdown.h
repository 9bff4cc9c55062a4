#ifndef CRISP_BENCH_REPORT_MARKDOWN_H_
#define CRISP_BENCH_REPORT_MARKDOWN_H_

#include <string>
#include <vector>

#include "bench/report/charts.h"
#include "bench/report/goals.h"
#include "bench/report/results.h"

namespace crisp::bench {

// The text between the markers of docs/performance.md.
std::string Markdown(const Results& results,
                     const std::vector<GoalRow>& goals,
                     const std::vector<NamedChart>& charts);

// `document` with `text` between its markers; "" when it has none.
std::string Insert(const std::string& document, const std::string& text);

}  // namespace crisp::bench

#endif  // CRISP_BENCH_REPORT_MARKDOWN_H_
