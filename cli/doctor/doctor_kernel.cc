// Checks of the kernel, of what this process may do, and of the kernel's security modules.
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/doctor/doctor_checks.h"
#include "cri/node/node_info.h"
#include "runtime/oci/capabilities.h"

namespace crisp::cli {
namespace {

// Without these pods cannot be made, or not as they ask to be.
constexpr const char* kNeededCapabilities[] = {
    "CHOWN",  "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER",     "FSETID",
    "KILL",   "MKNOD",        "SETFCAP",         "SETGID",     "SETPCAP",
    "SETUID", "SYS_ADMIN",    "SYS_CHROOT",      "SYS_PTRACE", "NET_ADMIN"};
constexpr const char* kNeededSeccompActions[] = {"errno", "kill_process", "allow"};

uint64_t Bit(const char* capability) {
  const auto number = runtime::ParseCapability(capability);
  return number.ok() ? uint64_t{1} << *number : 0;
}

Finding CheckRelease(const KernelFacts& kernel) {
  if (!cri::KernelAtLeast(kernel.release, 5, 12)) {
    return {Level::kError, "kernel", kernel.release,
            "crisp builds every mount with calls that Linux has since 5.12",
            "boot a kernel of 5.12 or later, better 6.3"};
  }
  if (!kernel.missing_calls.empty()) {
    return {Level::kError, "kernel",
            absl::StrCat(kernel.release, " without ", absl::StrJoin(kernel.missing_calls, ", ")),
            "crisp starts containers with these system calls",
            "let them through: a sandbox or an old seccomp profile around this machine hides them"};
  }
  return Good("kernel", kernel.release);
}

Finding CheckOverlay(const KernelFacts& kernel) {
  if (kernel.overlay) return Good("overlayfs", "there");
  return {Level::kError, "overlayfs", "neither in the kernel nor a module that it could load",
          "images' layers cannot be put together, no container starts",
          "install the kernel's modules, then: modprobe overlay"};
}

Finding CheckUserNamespaces(const KernelFacts& kernel) {
  constexpr char kName[] = "user namespaces";
  constexpr char kMeaning[] = "pods with hostUsers: false are refused; all others run";
  if (!cri::KernelAtLeast(kernel.release, 6, 3)) {
    return {Level::kWarning, kName, absl::StrCat(kernel.release, " is older than 6.3"), kMeaning,
            "boot a later kernel if you want such pods"};
  }
  if (kernel.max_user_namespaces.value_or(0) <= 0) {
    return {Level::kWarning, kName, "switched off", kMeaning,
            "sysctl -w user.max_user_namespaces=15000, and keep it in /etc/sysctl.d"};
  }
  if (!kernel.idmap.tried)
    return Good(kName, "allowed; id-mapped mounts were not tried, for want of root");
  if (!kernel.idmap.error.empty()) {
    return {Level::kWarning, kName, absl::StrCat("no id-mapped mounts: ", kernel.idmap.error),
            kMeaning, "put the root directory on ext4, XFS or Btrfs"};
  }
  return Good(kName, "allowed, with id-mapped mounts");
}

Finding CheckSeccomp(const KernelFacts& kernel) {
  std::vector<std::string> missing;
  for (const char* action : kNeededSeccompActions) {
    if (!absl::c_linear_search(kernel.seccomp_actions, action)) missing.push_back(action);
  }
  if (missing.empty()) return Good("seccomp", "there");
  return {Level::kError, "seccomp", absl::StrCat("the kernel lacks ", absl::StrJoin(missing, ", ")),
          "containers with a seccomp profile, which is every one by default, do not start",
          "boot a kernel with CONFIG_SECCOMP_FILTER"};
}

// The links and rules that the built-in network is made of.
std::vector<Finding> CheckLinks(const NodeFacts& facts) {
  std::vector<Finding> findings;
  const bool built_in = facts.network.cni.files.empty();
  for (const auto& [name, probe, module] : {std::tuple("bridge", facts.kernel.bridge, "bridge"),
                                            {"veth", facts.kernel.veth, "veth"},
                                            {"nftables", facts.kernel.nftables, "nf_tables"}}) {
    if (!probe.tried) continue;
    if (probe.error.empty()) {
      findings.push_back(Good(name, "works"));
      continue;
    }
    findings.push_back(
        {built_in ? Level::kError : Level::kWarning, name, probe.error,
         built_in ? "the built-in network cannot connect pods"
                  : "the built-in network could not serve if the CNI configuration went away",
         absl::StrCat("load what is missing (modprobe ", module,
                      "), or use CNI plugins that do without")});
  }
  return findings;
}

Finding CheckAppArmor(const SecurityFacts& security, const DaemonFacts& daemon) {
  constexpr char kName[] = "AppArmor";
  constexpr char kMeaning[] =
      "containers that ask for the default profile are refused, those that ask for "
      "none run without one";
  if (!security.apparmor)
    return Good(kName, "not in this kernel; capabilities and seccomp confine");
  if (security.default_profile.value_or(false)) return Good(kName, "crisp-default is loaded");
  if (!security.apparmor_parser) {
    return {Level::kWarning, kName, "apparmor_parser is not installed", kMeaning,
            "apt-get install apparmor, then: systemctl restart crispd"};
  }
  if (!security.default_profile.has_value() || !daemon.error.empty()) {
    return Good(kName, "crispd loads its profile when it starts");
  }
  return {Level::kWarning, kName, "crispd runs, but its profile crisp-default is not loaded",
          kMeaning, "systemctl restart crispd, and look for the reason in journalctl -u crispd"};
}

Finding CheckSelinux(const NodeFacts& facts) {
  const std::string& mode = facts.config.runtime.selinux;
  if (!facts.security.selinux && mode == "required") {
    return {Level::kWarning, "SELinux", "none in this kernel, and runtime.selinux is required",
            "pods that ask for a label are refused",
            "set runtime.selinux: auto in /etc/crisp/config.yaml, then: systemctl restart crispd"};
  }
  if (!facts.security.selinux) {
    return Good("SELinux", mode == "off"
                               ? "none in this kernel"
                               : "none in this kernel: labels that pods ask for are overlooked");
  }
  if (!facts.security.selinux_enforcing) return Good("SELinux", "not enforcing");
  if (facts.config.runtime.selinux != "off")
    return Good("SELinux", "enforcing, and pods are labelled");
  return {Level::kWarning, "SELinux", "enforcing, and runtime.selinux is off",
          "the policy may deny containers what they need, and does not keep them apart from one "
          "another",
          "set runtime.selinux: auto in /etc/crisp/config.yaml, then: systemctl restart crispd"};
}

}  // namespace

std::vector<Finding> CheckPrivileges(const NodeFacts& facts) {
  constexpr char kName[] = "privileges";
  if (!facts.privileges.root) {
    return {{Level::kWarning, kName, "crisp doctor does not run as root",
             "several checks could not look", "sudo crisp doctor"}};
  }
  uint64_t needed = 0;
  for (const char* capability : kNeededCapabilities) needed |= Bit(capability);
  const uint64_t missing = needed & ~facts.privileges.capabilities;
  if (missing != 0) {
    return {{Level::kError, kName,
             absl::StrCat("root without ", absl::StrJoin(runtime::CapabilityNames(missing), ", ")),
             "crispd cannot make pods",
             "run this node with them: a container or sandbox took them away"}};
  }
  if ((facts.privileges.capabilities & Bit("SYS_RESOURCE")) == 0) {
    return {
        {Level::kWarning, kName, "root without CAP_SYS_RESOURCE",
         "limits cannot be raised and oom_score_adj cannot be lowered; such wishes are cut short",
         "run this node with it"}};
  }
  return {Good(kName, "root")};
}

std::vector<Finding> CheckKernel(const NodeFacts& facts) {
  std::vector<Finding> findings = {CheckRelease(facts.kernel), CheckOverlay(facts.kernel),
                                   CheckSeccomp(facts.kernel), CheckUserNamespaces(facts.kernel)};
  for (Finding& finding : CheckLinks(facts)) findings.push_back(std::move(finding));
  return findings;
}

std::vector<Finding> CheckSecurity(const NodeFacts& facts) {
  return {CheckAppArmor(facts.security, facts.daemon), CheckSelinux(facts)};
}

}  // namespace crisp::cli
