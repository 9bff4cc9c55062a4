#include "runtime/oci/pod_spec.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"

namespace crisp::runtime {
namespace {

// Dotted unless a slash is the first separator: then it is the path, and a dot in it is part of a
// name (net/ipv4/conf/eth0.1/forwarding).
std::string Dotted(const std::string& name) {
  size_t separator = name.find_first_of("./");
  if (separator == std::string::npos || name[separator] == '.') return name;
  std::string dotted = name;
  for (char& c : dotted) {
    if (c == '/')
      c = '.';
    else if (c == '.')
      c = '/';
  }
  return dotted;
}

bool IsIpcSysctl(absl::string_view name) {
  return name == "kernel.sem" || name == "kernel.shmall" || name == "kernel.shmmax" ||
         name == "kernel.shmmni" || name == "kernel.shm_rmid_forced" || name == "kernel.msgmax" ||
         name == "kernel.msgmnb" || name == "kernel.msgmni" || name == "kernel.msg_next_id" ||
         name == "kernel.sem_next_id" || name == "kernel.shm_next_id" ||
         absl::StartsWith(name, "fs.mqueue.");
}

absl::Status CheckSysctl(const std::string& name, const std::string& value, const PodSpec& pod) {
  auto refuse = [&name](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("sysctl ", name, ": ", why));
  };
  if (name.empty() || value.find('\0') != std::string::npos || absl::StrContains(name, "..") ||
      name.find('\0') != std::string::npos) {
    return refuse("malformed");
  }
  if (absl::StartsWith(name, "net.")) {
    return pod.host_network ? refuse("not allowed with the host's network") : absl::OkStatus();
  }
  if (IsIpcSysctl(name)) {
    return pod.host_ipc ? refuse("not allowed with the host's IPC") : absl::OkStatus();
  }
  if (name == "kernel.domainname") {
    return pod.host_network ? refuse("not allowed with the host's network") : absl::OkStatus();
  }
  return refuse("is not namespaced; it would change the host");
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> CheckedSysctls(const PodSpec& pod) {
  std::map<std::string, std::string> checked;
  for (const auto& [name, value] : pod.sysctls) {
    std::string dotted = Dotted(name);
    CRISP_RETURN_IF_ERROR(CheckSysctl(dotted, value, pod));
    checked[std::move(dotted)] = value;
  }
  return checked;
}

}  // namespace crisp::runtime
