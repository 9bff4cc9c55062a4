#ifndef CRISP_CRI_CLI_DOCTOR_H_
#define CRISP_CRI_CLI_DOCTOR_H_

#include <string>
#include <vector>

#include "cri/cli/client.h"

namespace crisp::cli {

// One thing that a node needs, or should have.
struct Finding {
  enum class Level { kGood, kWarning, kBad };
  Level level = Level::kGood;
  std::string subject;
  std::string message;  // what was found and, unless good, what to do about it
};

// What the checks look at, so that tests can point them elsewhere.
struct DoctorPaths {
  std::string proc = "/proc";
  std::string cgroup = "/sys/fs/cgroup";
  std::string cni_conf_dir = "/etc/cni/net.d";
  std::vector<std::string> cni_bin_dirs = {"/opt/cni/bin", "/usr/lib/cni"};
};

// Checks the kernel, the cgroups and CNI without changing anything.
std::vector<Finding> ExamineHost(const DoctorPaths& paths, const std::string& kernel_release);

// Asks the daemon for its conditions.
std::vector<Finding> ExamineDaemon(Client& client, const std::string& address);

}  // namespace crisp::cli

#endif  // CRISP_CRI_CLI_DOCTOR_H_
