#ifndef CRISP_CLI_DOCTOR_DOCTOR_PARSE_H_
#define CRISP_CLI_DOCTOR_DOCTOR_PARSE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cli/doctor/doctor_facts.h"

namespace crisp::cli {

// The files that facts come from, as texts. All pure.

// Takes a kubelet's configuration (YAML) into `facts`; InvalidArgument when it is malformed.
absl::Status ReadKubeletConfig(absl::string_view text, KubeletFacts& facts);
// The last value of --NAME=VALUE or --NAME VALUE in a command line; nullopt when it is not there.
std::optional<std::string> FlagValue(const std::vector<std::string>& arguments,
                                     absl::string_view name);
// The words of KEY="words…" in a file of kubeadm-flags.env's form; empty when there is no such key.
std::vector<std::string> EnvironmentWords(absl::string_view text, absl::string_view key);

// True if the text of modules.builtin, modules.dep or /proc/modules lists the module; '-' and '_'
// are alike.
bool ListsModule(absl::string_view text, absl::string_view name);
// True if the text of /proc/filesystems names it.
bool ListsFileSystem(absl::string_view text, absl::string_view name);

// The inodes of the sockets that listen where HOST:PORT would, of /proc/net/tcp or tcp6. Host names
// stand for every address.
std::vector<uint64_t> ListenersAt(absl::string_view table, absl::string_view address);

// True if a process with these arguments holds a pod or container of Kubernetes for that runtime
// ("containerd", "CRI-O").
bool HoldsPodOf(absl::string_view runtime, const std::vector<std::string>& arguments);

}  // namespace crisp::cli

#endif  // CRISP_CLI_DOCTOR_DOCTOR_PARSE_H_
