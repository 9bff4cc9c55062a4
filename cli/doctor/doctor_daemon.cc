// Checks of the daemon, and of the runtimes beside it.
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/doctor/doctor_checks.h"

namespace crisp::cli {
namespace {

bool KubeletIsAt(const NodeFacts& facts, const std::string& socket) {
  return CanonicalEndpoint(facts.kubelet.endpoint) == CanonicalEndpoint(socket);
}

std::string Pods(int count) { return absl::StrCat(count, count == 1 ? " pod" : " pods"); }

Finding CheckOther(const NodeFacts& facts, const OtherRuntime& other) {
  const std::string check = absl::StrCat("other runtimes: ", other.name);
  if (other.pods == 0) {
    return Good(check, other.answers ? absl::StrCat("answers on ", other.socket, ", without pods")
                                     : "not running");
  }
  // The kubelet may still be on its way here.
  if (facts.kubelet.installed && KubeletIsAt(facts, other.socket)) {
    return Good(check, absl::StrCat("serves the kubelet; processes of its pods: ", other.pods));
  }
  const std::string found = absl::StrCat("processes of its pods: ", other.pods,
                                         other.answers ? "" : ", and nobody answers on its socket");
  const std::string remove = absl::StrCat("crictl --runtime-endpoint unix://", other.socket,
                                          " rmp -a -f, then: systemctl disable --now ", other.unit);
  return {Level::kWarning, check, found,
          "nothing looks after them: they keep memory, addresses and host ports that pods of crisp "
          "may want",
          other.answers
              ? remove
              : absl::StrCat("systemctl start ", other.unit, ", then: ", remove, "; or reboot")};
}

// Pods that stayed here when the kubelet went back to another runtime.
std::vector<Finding> CheckLeftPods(const NodeFacts& facts) {
  if (facts.daemon.pods == 0 || facts.kubelet.endpoint.empty() ||
      KubeletIsAt(facts, facts.daemon.address)) {
    return {};
  }
  return {{Level::kWarning, "pods of crisp",
           absl::StrCat(Pods(facts.daemon.pods), ", and the kubelet is elsewhere"),
           "nothing looks after them: they keep memory, addresses and host ports",
           absl::StrCat("crictl --runtime-endpoint ", facts.daemon.address,
                        " rmp -a -f; crispd reset removes images too (stop crispd first)")}};
}

Finding CheckVersion(const NodeFacts& facts) {
  if (facts.daemon.version.empty() || facts.daemon.version == facts.version) {
    return Good("daemon version", facts.version);
  }
  return {Level::kWarning, "daemon version",
          absl::StrCat("crispd ", facts.daemon.version, " runs, ", facts.version, " is installed"),
          "the daemon is older than its program: what the upgrade mended is not mended yet",
          "systemctl restart crispd; no pod ends"};
}

}  // namespace

std::vector<Finding> CheckOtherRuntimes(const NodeFacts& facts) {
  std::vector<Finding> findings;
  for (const OtherRuntime& other : facts.others) findings.push_back(CheckOther(facts, other));
  return findings;
}

std::vector<Finding> CheckDaemon(const NodeFacts& facts) {
  const DaemonFacts& daemon = facts.daemon;
  std::vector<Finding> findings;
  if (!daemon.config_error.empty()) {
    findings.push_back({Level::kError, "configuration", daemon.config_error,
                        "crispd does not start with it",
                        "mend it; crispd config dump says whether it is right"});
  } else {
    findings.push_back(Good("configuration", "can be used"));
  }
  if (!daemon.error.empty()) {
    findings.push_back({Level::kError, "daemon",
                        absl::StrCat("does not answer on ", daemon.address, ": ", daemon.error),
                        "no pod can be made or looked at; those that run go on",
                        "systemctl start crispd and look into journalctl -u crispd, or name its "
                        "socket with --address"});
    return findings;
  }
  findings.push_back(
      Good("daemon", absl::StrCat("answers on ", daemon.address, ", ", Pods(daemon.pods))));
  findings.push_back(CheckVersion(facts));
  for (const DaemonFacts::Condition& condition : daemon.conditions) {
    if (condition.good) {
      findings.push_back(Good(condition.name, "true"));
      continue;
    }
    findings.push_back({Level::kError, condition.name, condition.reason,
                        "the kubelet reports the node as not ready",
                        "see the other findings and journalctl -u crispd"});
  }
  for (Finding& finding : CheckLeftPods(facts)) findings.push_back(std::move(finding));
  return findings;
}

}  // namespace crisp::cli
