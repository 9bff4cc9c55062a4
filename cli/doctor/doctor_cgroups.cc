// Checks of the cgroups, of the kubelet, and of how they fit together.
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "cli/doctor/doctor_checks.h"

namespace crisp::cli {
namespace {

// Pods cannot do without the first; limits and statistics need the second.
constexpr const char* kNeededControllers[] = {"cpu", "memory", "pids"};
constexpr const char* kUsefulControllers[] = {"cpuset", "io", "hugetlb"};

Finding CheckControllers(const CgroupFacts& cgroups) {
  constexpr char kName[] = "cgroup controllers";
  if (!cgroups.mounted) {
    return {Level::kError, kName, "no cgroup hierarchy is mounted",
            "no container can be limited, none starts",
            "mount -t cgroup2 none /sys/fs/cgroup (systemd does it by itself)"};
  }
  const std::string version = cgroups.v2 ? "v2" : "v1";
  std::vector<std::string> needed, useful;
  for (const char* name : kNeededControllers) {
    if (cgroups.controllers.count(name) == 0) needed.push_back(name);
  }
  for (const char* name : kUsefulControllers) {
    if (cgroups.controllers.count(name) == 0) useful.push_back(name);
  }
  const std::string enable =
      "enable them: cgroup_enable= on the kernel's command line, or, in v2, +NAME in every "
      "cgroup.subtree_control on the way";
  if (!needed.empty()) {
    return {Level::kError, kName, absl::StrCat(version, " without ", absl::StrJoin(needed, ", ")),
            "pods that ask for these limits are refused", enable};
  }
  if (!useful.empty()) {
    return {Level::kWarning, kName, absl::StrCat(version, " without ", absl::StrJoin(useful, ", ")),
            "limits of these kinds are refused, or (huge pages) not enforced", enable};
  }
  return Good(kName, absl::StrCat(version, ": ", absl::StrJoin(cgroups.controllers, ", ")));
}

Finding CheckVersion(const CgroupFacts& cgroups) {
  if (cgroups.v2 || !cgroups.mounted) return Good("cgroup version", cgroups.v2 ? "v2" : "none");
  return {
      Level::kWarning, "cgroup version", "v1",
      "kubelets since 1.35 refuse to start on it unless failCgroupV1: false is set; there are no "
      "pressure figures and no memory.high",
      "boot with systemd.unified_cgroup_hierarchy=1"};
}

// The daemon's word counts, because its configuration may have changed since its start.
std::string OwnDriver(const NodeFacts& facts) {
  return facts.daemon.cgroup_driver.empty() ? facts.config.runtime.cgroup_driver
                                            : facts.daemon.cgroup_driver;
}

Finding CheckDriver(const NodeFacts& facts) {
  constexpr char kName[] = "cgroup driver";
  const std::string own = OwnDriver(facts);
  const std::string& kubelet = facts.kubelet.cgroup_driver;
  if (own == "systemd" && !facts.cgroups.systemd) {
    return {Level::kError, kName, "systemd, but systemd is not this machine's init",
            "no pod's cgroup can be made",
            "set runtime.cgroup_driver: cgroupfs (and the kubelet's cgroupDriver likewise)"};
  }
  if (own == "systemd" && !facts.cgroups.bus.error.empty()) {
    return {Level::kError, kName, facts.cgroups.bus.error,
            "no pod can be made: systemd makes their cgroups",
            "see to dbus: systemctl status dbus, then: systemctl restart dbus"};
  }
  if (!kubelet.empty() && kubelet != own) {
    return {Level::kError, kName, absl::StrCat("crisp has ", own, ", the kubelet ", kubelet),
            "the kubelet names pods' cgroups in a form that crisp refuses, or, since 1.28, follows "
            "crisp "
            "against its own configuration",
            absl::StrCat("set runtime.cgroup_driver: ", kubelet,
                         " in /etc/crisp/config.yaml, then: systemctl restart crispd")};
  }
  if (own == "cgroupfs" && facts.cgroups.systemd && facts.cgroups.v2) {
    return {Level::kWarning, kName, "cgroupfs, on a machine whose cgroups systemd manages",
            "two managers of one hierarchy can undo each other's limits under load",
            "set runtime.cgroup_driver: systemd (and the kubelet's cgroupDriver, which is "
            "kubeadm's default)"};
  }
  return Good(kName, kubelet.empty() ? own : absl::StrCat(own, ", as the kubelet's"));
}

Finding CheckEndpoint(const NodeFacts& facts) {
  constexpr char kName[] = "kubelet endpoint";
  const KubeletFacts& kubelet = facts.kubelet;
  const std::string ours = facts.daemon.address;
  const std::string todo =
      absl::StrCat("set containerRuntimeEndpoint: ", ours,
                   " in /var/lib/kubelet/config.yaml, take --container-runtime-endpoint out of "
                   "/var/lib/kubelet/kubeadm-flags.env, then: systemctl restart kubelet");
  if (kubelet.endpoint.empty()) {
    return {Level::kWarning, kName, "the kubelet is told none",
            "it takes containerd's socket by default, or finds no runtime", todo};
  }
  if (CanonicalEndpoint(kubelet.endpoint) != CanonicalEndpoint(ours)) {
    return {Level::kWarning, kName,
            absl::StrCat(kubelet.endpoint, " (", kubelet.endpoint_from, ")"),
            "the kubelet runs its pods with another runtime", todo};
  }
  return Good(kName, absl::StrCat(kubelet.endpoint, " (", kubelet.endpoint_from, ")"));
}

}  // namespace

std::string CanonicalEndpoint(std::string endpoint) {
  for (const char* scheme : {"unix://", "unix:"}) {
    if (absl::StartsWith(endpoint, scheme)) {
      endpoint = std::string(absl::StripPrefix(endpoint, scheme));
      break;
    }
  }
  if (absl::StartsWith(endpoint, "/var/run/")) endpoint = endpoint.substr(4);
  return endpoint;
}

std::vector<Finding> CheckCgroups(const NodeFacts& facts) {
  return {CheckVersion(facts.cgroups), CheckControllers(facts.cgroups), CheckDriver(facts)};
}

std::vector<Finding> CheckKubelet(const NodeFacts& facts) {
  const KubeletFacts& kubelet = facts.kubelet;
  if (!kubelet.installed) return {Good("kubelet", "none on this machine")};
  if (!kubelet.config_error.empty()) {
    return {{Level::kError, "kubelet", kubelet.config_error, "the kubelet does not start with it",
             "mend the file"}};
  }
  std::vector<Finding> findings = {CheckEndpoint(facts)};
  if (!kubelet.image_endpoint.empty() &&
      CanonicalEndpoint(kubelet.image_endpoint) != CanonicalEndpoint(kubelet.endpoint)) {
    findings.push_back({Level::kError, "kubelet image endpoint", kubelet.image_endpoint,
                        "images are pulled into one runtime and looked for in another",
                        "remove imageServiceEndpoint: it follows containerRuntimeEndpoint"});
  }
  if (!kubelet.running) {
    findings.push_back({Level::kWarning, "kubelet", "installed, but it does not run",
                        "nothing starts, watches or ends this node's pods",
                        "systemctl start kubelet"});
  } else {
    findings.push_back(Good("kubelet", "running"));
  }
  return findings;
}

}  // namespace crisp::cli
