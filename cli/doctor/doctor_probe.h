#ifndef CRISP_CLI_DOCTOR_DOCTOR_PROBE_H_
#define CRISP_CLI_DOCTOR_DOCTOR_PROBE_H_

#include <string>
#include <vector>

#include "cli/doctor/doctor_facts.h"

namespace crisp::cli {

// Facts that only a try can tell. A try leaves nothing behind, and nobody else sees it.

// The system calls that crisp makes and that this kernel, or a filter on this process, does not
// have.
std::vector<std::string> MissingSystemCalls();

// Makes a bridge, a veth pair and an nftables table in a network namespace that ends with the call.
void ProbeNetwork(KernelFacts& kernel);

// Asks systemd on the system bus whether it is there.
Probe ProbeSystemd();

// Maps the ids of a copy of the mount that `path` (an existing directory) is on.
Probe ProbeIdmap(const std::string& path);

}  // namespace crisp::cli

#endif  // CRISP_CLI_DOCTOR_DOCTOR_PROBE_H_
