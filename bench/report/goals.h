#ifndef CRISP_BENCH_REPORT_GOALS_H_
#define CRISP_BENCH_REPORT_GOALS_H_

#include <string>
#include <vector>

#include "bench/report/results.h"

namespace crisp::bench {

enum class Verdict { kOk, kShort, kNotMeasured };

struct GoalRow {
  std::string measure, goal, value;
  Verdict verdict = Verdict::kNotMeasured;
};

// The goals of crisp, and what the run says about them. A goal for which the run has no figures is
// not measured.
std::vector<GoalRow> JudgeGoals(const Results& results);

const char* VerdictText(Verdict verdict);

}  // namespace crisp::bench

#endif  // CRISP_BENCH_REPORT_GOALS_H_
