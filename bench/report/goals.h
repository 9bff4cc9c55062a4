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

// What crisp set out to reach, and what the run says. A goal whose figures the run does not have is
// not measured.
std::vector<GoalRow> JudgeGoals(const Results& results);

const char* VerdictText(Verdict verdict);

}  // namespace crisp::bench

#endif  // CRISP_BENCH_REPORT_GOALS_H_
