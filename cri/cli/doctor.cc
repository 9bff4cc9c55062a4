#include "cri/cli/doctor.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "cri/node_info.h"

namespace crisp::cli {
namespace {

using Level = Finding::Level;

// What pods cannot do without, and what limits and statistics need.
constexpr const char* kNeededControllers[] = {"cpu", "memory", "pids"};
constexpr const char* kUsefulControllers[] = {"cpuset", "io", "hugetlb"};

Finding CheckKernel(const std::string& release) {
  if (!cri::KernelAtLeast(release, 5, 12)) {
    return {Level::kBad, "kernel",
            absl::StrCat(release, " is too old: crisp needs Linux 5.12 (mount_setattr)")};
  }
  if (!cri::KernelAtLeast(release, 6, 3)) {
    return {Level::kWarning, "kernel",
            absl::StrCat(release, " works; pods with user namespaces need Linux 6.3")};
  }
  return {Level::kGood, "kernel", release};
}

Finding CheckOverlay(const DoctorPaths& paths) {
  const auto text = ReadFile(absl::StrCat(paths.proc, "/filesystems"));
  if (text.ok() && absl::StrContains(*text, "\toverlay\n")) return {Level::kGood, "overlayfs", "present"};
  return {Level::kBad, "overlayfs", "not registered with the kernel: modprobe overlay"};
}

Finding CheckForwarding(const DoctorPaths& paths) {
  const auto text = ReadFile(absl::StrCat(paths.proc, "/sys/net/ipv4/ip_forward"));
  if (text.ok() && absl::StripAsciiWhitespace(*text) == "1") {
    return {Level::kGood, "IPv4 forwarding", "on"};
  }
  return {Level::kWarning, "IPv4 forwarding",
          "off: the built-in network turns it on with the first pod; with CNI set "
          "net.ipv4.ip_forward=1"};
}

// Controllers by name: those of the unified hierarchy, or the mounted v1 ones ("blkio" is v1's io).
std::set<std::string> Controllers(const DoctorPaths& paths, std::string* hierarchy) {
  const auto unified = ReadFile(absl::StrCat(paths.cgroup, "/cgroup.controllers"));
  if (unified.ok()) {
    *hierarchy = "v2";
    return absl::StrSplit(absl::StripAsciiWhitespace(*unified), ' ', absl::SkipEmpty());
  }
  *hierarchy = "v1";
  std::set<std::string> result;
  const auto names = ListDir(paths.cgroup);
  if (!names.ok()) return result;
  for (const std::string& name : *names) {
    for (absl::string_view part : absl::StrSplit(name, ',')) {
      result.insert(part == "blkio" ? "io" : std::string(part));
    }
  }
  return result;
}

std::vector<Finding> CheckCgroups(const DoctorPaths& paths) {
  std::string hierarchy;
  const std::set<std::string> have = Controllers(paths, &hierarchy);
  std::vector<std::string> missing, lesser;
  for (const char* name : kNeededControllers) {
    if (have.count(name) == 0) missing.push_back(name);
  }
  for (const char* name : kUsefulControllers) {
    if (have.count(name) == 0) lesser.push_back(name);
  }
  if (!missing.empty()) {
    return {{Level::kBad, "cgroups",
             absl::StrCat(hierarchy, " without ", absl::StrJoin(missing, ", "),
                          ": enable these controllers (kernel command line cgroup_enable=, or "
                          "cgroup.subtree_control)")}};
  }
  if (!lesser.empty()) {
    return {{Level::kWarning, "cgroups",
             absl::StrCat(hierarchy, " without ", absl::StrJoin(lesser, ", "),
                          ": limits of these kinds are not enforced")}};
  }
  return {{Level::kGood, "cgroups", hierarchy}};
}

bool IsCniConfig(const std::string& name) {
  return absl::EndsWith(name, ".conf") || absl::EndsWith(name, ".conflist") ||
         absl::EndsWith(name, ".json");
}

Finding CheckCni(const DoctorPaths& paths) {
  auto names = ListDir(paths.cni_conf_dir);
  std::vector<std::string> configs;
  if (names.ok()) {
    std::copy_if(names->begin(), names->end(), std::back_inserter(configs), IsCniConfig);
  }
  if (configs.empty()) {
    return {Level::kGood, "CNI",
            absl::StrCat("no configuration in ", paths.cni_conf_dir, ": the built-in network serves")};
  }
  std::sort(configs.begin(), configs.end());
  for (const std::string& dir : paths.cni_bin_dirs) {
    const auto plugins = ListDir(dir);
    if (plugins.ok() && !plugins->empty()) {
      return {Level::kGood, "CNI", absl::StrCat(configs.front(), ", plugins in ", dir)};
    }
  }
  return {Level::kBad, "CNI",
          absl::StrCat(configs.front(), " is there, but no plugins in ",
                       absl::StrJoin(paths.cni_bin_dirs, " or "),
                       ": install them, or remove the file to use the built-in network")};
}

}  // namespace

std::vector<Finding> ExamineHost(const DoctorPaths& paths, const std::string& kernel_release) {
  std::vector<Finding> findings = {CheckKernel(kernel_release), CheckOverlay(paths)};
  for (Finding& finding : CheckCgroups(paths)) findings.push_back(std::move(finding));
  findings.push_back(CheckCni(paths));
  findings.push_back(CheckForwarding(paths));
  return findings;
}

std::vector<Finding> ExamineDaemon(Client& client, const std::string& address) {
  const auto status = client.Status();
  if (!status.ok()) {
    return {{Level::kBad, "daemon",
             absl::StrCat("does not answer on ", address, " (", std::string(status.status().message()),
                          "): start crispd, or name its socket with --address")}};
  }
  std::vector<Finding> findings = {{Level::kGood, "daemon", absl::StrCat("answers on ", address)}};
  for (const auto& condition : status->status().conditions()) {
    findings.push_back({condition.status() ? Level::kGood : Level::kBad, condition.type(),
                        condition.status() ? "true"
                                           : absl::StrCat(condition.reason(), ": ",
                                                          condition.message())});
  }
  return findings;
}

}  // namespace crisp::cli
