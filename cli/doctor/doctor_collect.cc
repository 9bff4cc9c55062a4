#include "cli/doctor/doctor_collect.h"

#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "cli/client/client.h"
#include "cli/doctor/doctor_checks.h"
#include "cli/doctor/doctor_parse.h"
#include "cli/doctor/doctor_probe.h"
#include "cri/config/config_check.h"
#include "cri/node/node_info.h"
#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/lsm/apparmor.h"
#include "runtime/oci/capabilities.h"

namespace crisp::cli {
namespace {

constexpr const char* kSysctls[] = {"fs.file-max",
                                    "fs.inotify.max_user_instances",
                                    "fs.inotify.max_user_watches",
                                    "fs.nr_open",
                                    "kernel.pid_max",
                                    "net.bridge.bridge-nf-call-iptables",
                                    "net.ipv4.ip_forward",
                                    "net.ipv6.conf.all.forwarding",
                                    "user.max_user_namespaces"};

std::string Text(const CollectOptions& options, const std::string& path) {
  return ReadFile(options.prefix + path).value_or("");
}

void CollectSysctls(const CollectOptions& options, NodeFacts& facts) {
  for (const char* name : kSysctls) {
    const std::string path = absl::StrCat("/proc/sys/", absl::StrReplaceAll(name, {{".", "/"}}));
    const std::string text = Text(options, path);
    int64_t value = 0;
    if (absl::SimpleAtoi(absl::StripAsciiWhitespace(text), &value)) {
      facts.sysctls[name] = value;
    } else if (absl::StrContains(name, "file-max") && !text.empty()) {
      facts.sysctls[name] = INT64_MAX;  // the kernel's "no limit" is beyond 2^63
    }
  }
}

void CollectKernel(const CollectOptions& options, NodeFacts& facts) {
  KernelFacts& kernel = facts.kernel;
  struct utsname names {};
  if (uname(&names) == 0) kernel.release = names.release;
  kernel.missing_calls = MissingSystemCalls();
  const std::string modules = absl::StrCat("/lib/modules/", kernel.release);
  kernel.overlay = ListsFileSystem(Text(options, "/proc/filesystems"), "overlay") ||
                   ListsModule(Text(options, modules + "/modules.builtin"), "overlay") ||
                   ListsModule(Text(options, modules + "/modules.dep"), "overlay");
  kernel.seccomp_actions = absl::StrSplit(
      absl::StripAsciiWhitespace(Text(options, "/proc/sys/kernel/seccomp/actions_avail")), ' ',
      absl::SkipEmpty());
  const auto found = facts.sysctls.find("user.max_user_namespaces");
  if (found != facts.sysctls.end()) kernel.max_user_namespaces = found->second;
  if (!facts.privileges.root) return;
  ProbeNetwork(kernel);
  kernel.idmap = ProbeIdmap(facts.storage.root.nearest);
}

void CollectCgroups(const CollectOptions& options, NodeFacts& facts) {
  CgroupFacts& cgroups = facts.cgroups;
  cgroups.systemd = access((options.prefix + "/run/systemd/system").c_str(), F_OK) == 0;
  if (cgroups.systemd && facts.privileges.root && options.prefix.empty())
    cgroups.bus = ProbeSystemd();
  const auto layout = runtime::ParseCgroupLayout(Text(options, "/proc/self/mountinfo"));
  if (!layout.ok() || layout->hierarchies.empty()) return;
  cgroups.mounted = true;
  cgroups.v2 = layout->v2;
  if (cgroups.v2) {
    const std::string text =
        Text(options, layout->hierarchies.front().mount_point + "/cgroup.controllers");
    cgroups.controllers = absl::StrSplit(absl::StripAsciiWhitespace(text), ' ', absl::SkipEmpty());
    return;
  }
  for (const runtime::CgroupHierarchy& hierarchy : layout->hierarchies) {
    for (const std::string& name : hierarchy.controllers) {
      cgroups.controllers.insert(name == "blkio" ? "io" : name);
    }
  }
}

void CollectSecurity(const CollectOptions& options, NodeFacts& facts) {
  SecurityFacts& security = facts.security;
  security.apparmor =
      absl::StartsWith(Text(options, "/sys/module/apparmor/parameters/enabled"), "Y");
  for (const char* path : {"/sbin/apparmor_parser", "/usr/sbin/apparmor_parser"}) {
    if (access((options.prefix + path).c_str(), X_OK) == 0) security.apparmor_parser = true;
  }
  const auto profiles = ReadFile(options.prefix + "/sys/kernel/security/apparmor/profiles");
  if (profiles.ok()) {
    security.default_profile =
        runtime::ListsAppArmorProfile(*profiles, runtime::kDefaultAppArmorProfile);
  }
  security.selinux = access((options.prefix + "/sys/fs/selinux/enforce").c_str(), F_OK) == 0;
  security.selinux_enforcing = absl::StartsWith(Text(options, "/sys/fs/selinux/enforce"), "1");
}

void CollectPaths(const CollectOptions& options, NodeFacts& facts) {
  const std::string socket = CanonicalEndpoint(facts.daemon.address);
  const std::string config = options.config_path;
  for (const std::string& path :
       {socket, socket.substr(0, socket.rfind('/')), facts.config.OperatorSocketPath(),
        facts.config.root, config.substr(0, config.rfind('/')), config}) {
    struct stat info {};
    if (path.empty() || stat(path.c_str(), &info) != 0) continue;
    facts.paths.push_back({.path = path,
                           .mode = info.st_mode,
                           .uid = info.st_uid,
                           .gid = info.st_gid,
                           .holds_layers = path == facts.config.root});
  }
}

void CollectConfig(const CollectOptions& options, NodeFacts& facts) {
  auto config =
      cri::LoadConfig(options.config_path, options.config_required ? cri::ConfigFile::kRequired
                                                                   : cri::ConfigFile::kOptional);
  absl::Status status = config.status();
  if (config.ok()) status = cri::CheckConfig(*config);
  if (status.ok())
    facts.config = *std::move(config);
  else
    facts.daemon.config_error = std::string(status.message());
  facts.daemon.address = options.address.empty()
                             ? absl::StrCat("unix://", facts.config.SocketPath())
                             : options.address;
}

}  // namespace

std::vector<Process> ListProcesses(const CollectOptions& options) {
  std::vector<Process> processes;
  const auto names = ListDir(options.prefix + "/proc");
  if (!names.ok()) return processes;
  for (const std::string& name : *names) {
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string text = Text(options, absl::StrCat("/proc/", name, "/cmdline"));
    processes.push_back(
        {name, absl::StrSplit(absl::StripSuffix(text, absl::string_view("\0", 1)), '\0')});
  }
  return processes;
}

void CollectDaemon(NodeFacts& facts) {
  DaemonFacts& daemon = facts.daemon;
  Client client(ChooseEndpoint(daemon.address));
  const auto status = client.Status();
  if (!status.ok()) {
    daemon.error = std::string(status.status().message());
    return;
  }
  for (const auto& condition : status->status().conditions()) {
    daemon.conditions.push_back({condition.type(), condition.status(),
                                 absl::StrCat(condition.reason(), ": ", condition.message())});
  }
  const auto info = client.Info();
  if (!info.ok()) {
    daemon.error = absl::StrCat("not crispd (", std::string(info.status().message()), ")");
    return;
  }
  daemon.version = JsonString(*info, "version").value_or("");
  daemon.cgroup_driver = JsonString(*info, "cgroupDriver").value_or("");
  daemon.pods = static_cast<int>(JsonInt(*info, "pods").value_or(0));
}

NodeFacts CollectFacts(const CollectOptions& options) {
  NodeFacts facts;
  facts.version = cri::kVersion;
  facts.privileges = {.root = geteuid() == 0, .capabilities = runtime::DaemonCapabilities()};
  CollectConfig(options, facts);
  CollectSysctls(options, facts);
  CollectStorage(facts);
  CollectKernel(options, facts);
  CollectCgroups(options, facts);
  CollectSecurity(options, facts);
  CollectPaths(options, facts);
  CollectKubelet(options, facts);
  CollectNetwork(options, facts);
  CollectOtherRuntimes(options, facts);
  CollectDaemon(facts);
  return facts;
}

}  // namespace crisp::cli
