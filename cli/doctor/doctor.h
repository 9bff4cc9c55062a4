#ifndef CRISP_CLI_DOCTOR_DOCTOR_H_
#define CRISP_CLI_DOCTOR_DOCTOR_H_

#include <string>
#include <vector>

#include "base/json.h"
#include "cli/doctor/doctor_checks.h"
#include "cli/doctor/doctor_facts.h"

namespace crisp::cli {

// Every check of doctor_checks.h, in the order in which an operator would look. Pure.
std::vector<Finding> ExamineNode(const NodeFacts& facts);

// One line per finding. Below a finding that is not ok stand its meaning and what to do.
std::string RenderText(const std::vector<Finding>& findings);
// {"errors": 1, "warnings": 0, "findings": [{"level": "error", "check": …, "found": …, "meaning":
// …, "todo": …}, …]}
Json RenderJson(const std::vector<Finding>& findings);

int Count(const std::vector<Finding>& findings, Level level);

}  // namespace crisp::cli

#endif  // CRISP_CLI_DOCTOR_DOCTOR_H_
