#ifndef CRISP_CLI_DOCTOR_DOCTOR_COLLECT_H_
#define CRISP_CLI_DOCTOR_DOCTOR_COLLECT_H_

#include <string>
#include <vector>

#include "cli/doctor/doctor_facts.h"

namespace crisp::cli {

struct CollectOptions {
  std::string config_path = "/etc/crisp/config.yaml";
  bool config_required = false;
  std::string address;  // of the daemon; empty for the configured one
  // Stands before every path of the machine that is read; for tests. The daemon, the kernel's calls
  // and the file systems' facts are always this machine's.
  std::string prefix;
};

// Looks at the machine without changing it. Takes well below a second. A fact that cannot be found
// out is left out, with a reason if a check needs it.
NodeFacts CollectFacts(const CollectOptions& options);

// The parts that read many files each. `config` and what is in `facts` already say where to look.
void CollectKubelet(const CollectOptions& options, NodeFacts& facts);
void CollectStorage(NodeFacts& facts);
void CollectNetwork(const CollectOptions& options, NodeFacts& facts);
void CollectOtherRuntimes(const CollectOptions& options, NodeFacts& facts);
void CollectDaemon(NodeFacts& facts);

// A process, as /proc shows it.
struct Process {
  std::string pid;
  std::vector<std::string> arguments;  // of its command line; none for a thread of the kernel
};
std::vector<Process> ListProcesses(const CollectOptions& options);

}  // namespace crisp::cli

#endif  // CRISP_CLI_DOCTOR_DOCTOR_COLLECT_H_
