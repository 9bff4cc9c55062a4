#include "cli/doctor/doctor.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace crisp::cli {
namespace {

const char* Name(Level level) {
  switch (level) {
    case Level::kOk:
      return "ok";
    case Level::kWarning:
      return "warning";
    case Level::kError:
      return "error";
  }
  return "error";
}

}  // namespace

std::vector<Finding> ExamineNode(const NodeFacts& facts) {
  std::vector<Finding> all;
  for (const auto check :
       {CheckPrivileges, CheckKernel, CheckSecurity, CheckCgroups, CheckSysctls, CheckStorage,
        CheckPermissions, CheckNetwork, CheckDaemon, CheckKubelet, CheckOtherRuntimes}) {
    std::vector<Finding> findings = check(facts);
    std::move(findings.begin(), findings.end(), std::back_inserter(all));
  }
  return all;
}

std::string RenderText(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings) {
    absl::StrAppendFormat(&text, "%-7s  %s: %s\n", Name(finding.level), finding.check,
                          finding.found);
    if (!finding.meaning.empty())
      absl::StrAppendFormat(&text, "%9smeans: %s\n", "", finding.meaning);
    if (!finding.todo.empty()) absl::StrAppendFormat(&text, "%9sto do: %s\n", "", finding.todo);
  }
  const int errors = Count(findings, Level::kError), warnings = Count(findings, Level::kWarning);
  absl::StrAppend(&text, errors, errors == 1 ? " error, " : " errors, ", warnings,
                  warnings == 1 ? " warning\n" : " warnings\n");
  return text;
}

Json RenderJson(const std::vector<Finding>& findings) {
  Json list = Json::array();
  for (const Finding& finding : findings) {
    list.push_back({{"level", Name(finding.level)},
                    {"check", finding.check},
                    {"found", finding.found},
                    {"meaning", finding.meaning},
                    {"todo", finding.todo}});
  }
  return {{"errors", Count(findings, Level::kError)},
          {"warnings", Count(findings, Level::kWarning)},
          {"findings", std::move(list)}};
}

int Count(const std::vector<Finding>& findings, Level level) {
  return static_cast<int>(std::count_if(findings.begin(), findings.end(),
                                        [&](const Finding& f) { return f.level == level; }));
}

}  // namespace crisp::cli
