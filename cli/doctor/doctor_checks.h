#ifndef CRISP_CLI_DOCTOR_DOCTOR_CHECKS_H_
#define CRISP_CLI_DOCTOR_DOCTOR_CHECKS_H_

#include <string>
#include <vector>

#include "cli/doctor/doctor_facts.h"

namespace crisp::cli {

enum class Level {
  kOk,
  kWarning,  // pods run, but something is weaker, or will go wrong some day
  kError,    // pods, or some of them, cannot run
};

// The result of one check.
struct Finding {
  Level level = Level::kOk;
  std::string check;  // its name, the same in every release
  std::string found;
  std::string meaning;  // its consequence; empty when ok
  std::string todo;     // what the operator can do about it; empty when ok
};

// All pure. Each returns at least one finding unless it says otherwise.
std::vector<Finding> CheckPrivileges(const NodeFacts& facts);
std::vector<Finding> CheckKernel(const NodeFacts& facts);
std::vector<Finding> CheckCgroups(const NodeFacts& facts);
std::vector<Finding> CheckKubelet(const NodeFacts& facts);
std::vector<Finding> CheckStorage(const NodeFacts& facts);
std::vector<Finding> CheckPermissions(const NodeFacts& facts);
std::vector<Finding> CheckNetwork(const NodeFacts& facts);
std::vector<Finding> CheckSysctls(const NodeFacts& facts);
std::vector<Finding> CheckSecurity(const NodeFacts& facts);
std::vector<Finding> CheckOtherRuntimes(const NodeFacts& facts);
std::vector<Finding> CheckDaemon(const NodeFacts& facts);

// "/run/x", "unix:///var/run/x" and "unix:/run/x" are one socket.
std::string CanonicalEndpoint(std::string endpoint);

// A finding that everything is as it should be.
inline Finding Good(std::string check, std::string found) {
  return {Level::kOk, std::move(check), std::move(found), "", ""};
}

}  // namespace crisp::cli

#endif  // CRISP_CLI_DOCTOR_DOCTOR_CHECKS_H_
