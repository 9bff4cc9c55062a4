#ifndef CRISP_HACK_BENCH_REPORT_MARKDOWN_H_
#define CRISP_HACK_BENCH_REPORT_MARKDOWN_H_

#include <string>
#include <vector>

#include "report/charts.h"
#include "report/goals.h"
#include "report/results.h"

namespace crisp::bench {

// What stands between the markers of docs/performance.md.
std::string Markdown(const Results& results,
                     const std::vector<GoalRow>& goals,
                     const std::vector<NamedChart>& charts);

// `document` with `text` between its markers; "" when it has none.
std::string Insert(const std::string& document, const std::string& text);

}  // namespace crisp::bench

#endif  // CRISP_HACK_BENCH_REPORT_MARKDOWN_H_
