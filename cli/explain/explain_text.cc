#include "cli/explain/explain_text.h"

#include <string.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/format/human.h"

namespace crisp::cli {
namespace {

constexpr size_t kLabel = 13;  // the width of the first column
constexpr size_t kMostText = 100;

class Page {
 public:
  Page(const ExplainFacts& facts, const ExplainStyle& style) : facts_(facts), style_(style) {}

  std::string Render();
  std::string RenderPod();

 private:
  void Section(const std::string& title) {
    absl::StrAppend(&text_, "\n", style_.colours(Tint::kFaint, title), "\n");
  }
  void Line(const std::string& label, const std::string& value, Tint tint = Tint::kNone) {
    absl::StrAppend(&text_, "  ", absl::StrFormat("%-*s", kLabel, label), "  ",
                    style_.colours(tint, value), "\n");
  }
  void Prove(const std::string& command) {
    if (style_.show_me)
      absl::StrAppend(&text_, style_.colours(Tint::kFaint, "  $ " + command), "\n");
  }

  void Head();
  void PodHead();
  void Namespaces();
  void Cgroup();
  void Cpu(const runtime::CgroupStats& usage);
  void Memory(const runtime::CgroupStats& usage);
  void Io(const runtime::CgroupStats& usage);
  void Layers();
  void Mounts();
  void Security();
  void Network();
  void Steps();

  const ExplainFacts& facts_;
  const ExplainStyle& style_;
  std::string text_;
};

std::string Pressured(const std::optional<runtime::Pressure>& pressure) {
  if (!pressure.has_value()) return "";
  return absl::StrFormat("; some of it waited %.1f %% of the last 10 s", pressure->some.avg10);
}

std::string SignalName(int signal) {
  const char* const name = sigabbrev_np(signal);
  return name == nullptr ? absl::StrCat("signal ", signal) : absl::StrCat("SIG", name);
}

void Page::Head() {
  absl::StrAppend(&text_, "Container ", facts_.name, " (", facts_.id, ")\n");
  Line("state", StateInWords(facts_, style_.now),
       facts_.state == "running"                           ? Tint::kGood
       : facts_.state == "exited" && facts_.exit_code != 0 ? Tint::kBad
                                                           : Tint::kNone);
  Line("program", Ellipsis(absl::StrJoin(facts_.args, " "), kMostText));
  Line("directory", facts_.directory);
  if (facts_.pid != 0) Line("process", absl::StrCat(facts_.pid, " on the node"));
  Line("pod", absl::StrCat(facts_.pod_name, " (", ShortId(facts_.pod_id), ")"));
  Line("image", absl::StrCat(facts_.image, " (", ShortId(facts_.image_id), ")"));
  Line("log", facts_.log_bytes.has_value()
                  ? absl::StrCat(facts_.log, ", ", HumanBytes(*facts_.log_bytes))
                  : facts_.log);
}

std::string InWords(const std::string& name) {
  if (name == "mnt") return "mount";
  return name == "net" ? "network" : name;
}

void Page::Namespaces() {
  Section("NAMESPACES");
  if (facts_.pid == 0) return Line("-", "none while it has no process");
  if (facts_.namespaces.empty()) return Line("-", "only root may see them");
  for (const NamespaceFact& fact : facts_.namespaces) {
    const std::string whose = fact.of_host ? "the node's own"
                              : fact.shared_with.empty()
                                  ? "its own"
                                  : "shared with " + absl::StrJoin(fact.shared_with, ", ");
    // A user namespace of its own is the exception, the host's other namespaces are.
    const bool open = fact.of_host && fact.name != "user" && fact.name != "time";
    Line(InWords(fact.name), absl::StrCat(fact.inode, "  ", whose),
         open ? Tint::kWarning : Tint::kNone);
  }
  for (const IdMapFact& map : facts_.user_map) {
    Line("user ids",
         absl::StrCat(map.inside, " to ", map.inside + map.count - 1, " inside are ", map.outside,
                      " to ", map.outside + map.count - 1, " on the node"));
  }
  Prove(absl::StrCat("ls -l /proc/", facts_.pid, "/ns /proc/1/ns"));
}

void Page::Cpu(const runtime::CgroupStats& usage) {
  const LimitFacts& limits = facts_.limits;
  std::string text = "no limit";
  if (limits.cpu_quota > 0 && limits.cpu_period > 0) {
    text = absl::StrFormat(
        "at most %.2f processors (%d of every %d µs)",
        static_cast<double>(limits.cpu_quota) / static_cast<double>(limits.cpu_period),
        limits.cpu_quota, limits.cpu_period);
  }
  if (limits.cpu_shares > 0) absl::StrAppend(&text, ", ", limits.cpu_shares, " shares");
  if (!limits.cpus.empty()) absl::StrAppend(&text, ", on processors ", limits.cpus);
  Line("processor", text);
  const auto& cpu = usage.cpu;
  std::string used = absl::StrFormat("used %.2f s", static_cast<double>(cpu.usage_ns) / 1e9);
  if (cpu.periods > 0) {
    absl::StrAppend(
        &used, absl::StrFormat(", held back in %d of %d periods, %.2f s", cpu.throttled_periods,
                               cpu.periods, static_cast<double>(cpu.throttled_ns) / 1e9));
  }
  Line("", used + Pressured(cpu.pressure),
       cpu.throttled_periods * 10 > cpu.periods && cpu.periods > 0 ? Tint::kWarning : Tint::kNone);
}

void Page::Memory(const runtime::CgroupStats& usage) {
  const auto& memory = usage.memory;
  Line(
      "memory",
      absl::StrCat(HumanBytes(memory.usage), " of ",
                   memory.limit.has_value() ? HumanBytes(*memory.limit) : "what the node has",
                   memory.max_usage.has_value() ? ", at most " + HumanBytes(*memory.max_usage) : "",
                   " (", HumanBytes(memory.rss), " its own, ", HumanBytes(memory.cache),
                   " cached files)", Pressured(memory.pressure)));
  if (memory.swap.has_value()) {
    Line("swap", absl::StrCat(HumanBytes(*memory.swap), " of ",
                              memory.swap_limit.has_value() ? HumanBytes(*memory.swap_limit)
                                                            : "what the node has"));
  }
  Line("out of memory",
       memory.oom_kills == 0
           ? "never"
           : absl::StrCat(memory.oom_kills, " processes killed; score adjusted by ",
                          facts_.limits.oom_score_adj),
       memory.oom_kills == 0 ? Tint::kNone : Tint::kBad);
}

void Page::Io(const runtime::CgroupStats& usage) {
  for (const runtime::DeviceIo& device : usage.io.devices) {
    Line("disk",
         absl::StrCat(device.major, ":", device.minor, " read ", HumanBytes(device.read_bytes),
                      ", written ", HumanBytes(device.write_bytes)));
  }
}

void Page::Cgroup() {
  Section("CGROUP");
  if (!facts_.cgroups.empty()) {
    const size_t others = facts_.cgroups.size() - 1;  // of cgroup v1
    Line("directory",
         absl::StrCat(facts_.cgroups.front(),
                      others == 0 ? "" : absl::StrCat(", and in ", others, " other hierarchies")));
  }
  if (!facts_.usage.has_value()) return Line("-", "not there any more");
  Cpu(*facts_.usage);
  Memory(*facts_.usage);
  const auto& pids = facts_.usage->pids;
  Line("processes",
       absl::StrCat(pids.current, " of ",
                    pids.limit.has_value() ? absl::StrCat(*pids.limit) : "any number"));
  Io(*facts_.usage);
  if (!facts_.cgroups.empty()) Prove("head -v " + facts_.cgroups.front() + "/*");
}

void Page::Layers() {
  Section("FILES");
  for (const LayerFact& layer : facts_.layers) {
    Line(ShortId(layer.digest),
         absl::StrCat(HumanBytes(layer.unpacked_bytes), " (", HumanBytes(layer.bytes),
                      " to pull)  ", Ellipsis(layer.created_by, kMostText / 2)));
    if (!layer.images.empty()) {
      Line("", "also in " + Ellipsis(absl::StrJoin(layer.images, ", "), kMostText));
    }
    if (!layer.containers.empty()) {
      Line("", "also below " + Ellipsis(absl::StrJoin(layer.containers, ", "), kMostText));
    }
  }
  if (facts_.written_bytes.has_value()) {
    Line("written",
         absl::StrCat(HumanBytes(*facts_.written_bytes), " in ", facts_.written_files.value_or(0),
                      " files, in a layer of its own"));
  }
  if (facts_.security.read_only_root) Line("", "the root directory is read-only");
  if (facts_.pid != 0) Prove(absl::StrCat("grep ' / / ' /proc/", facts_.pid, "/mountinfo"));
}

void Page::Mounts() {
  Section("MOUNTS");
  for (const MountFact& mount : facts_.mounts) {
    const bool of_host = absl::StartsWith(mount.source, "/");
    const bool writable =
        std::find(mount.options.begin(), mount.options.end(), "ro") == mount.options.end();
    const std::string source = absl::StartsWith(mount.source, "pod:")
                                   ? "the pod's " + mount.source.substr(4)
                               : of_host ? mount.source
                                         : "a new " + mount.type;
    absl::StrAppend(&text_, "  ", absl::StrFormat("%-24s", mount.destination), "  ",
                    style_.colours(of_host && writable ? Tint::kWarning : Tint::kNone,
                                   absl::StrCat(source, writable ? "" : ", read-only")),
                    "\n");
  }
  if (facts_.pid != 0) Prove(absl::StrCat("cat /proc/", facts_.pid, "/mountinfo"));
}

void Page::Security() {
  const SecurityFacts& security = facts_.security;
  Section("SECURITY");
  if (security.privileged)
    Line("privileged", "yes: it may do nearly all that the node may", Tint::kBad);
  Line("user", security.user);
  Line("may", security.capabilities.empty() ? "nothing that root alone may"
                                            : absl::StrJoin(security.capabilities, " "));
  Line("may gain",
       absl::StrCat(security.bounding, " capabilities by a program's set-user-id bit or file",
                    security.no_new_privileges ? ", but no_new_privs forbids that" : ""));
  Line("system calls",
       security.seccomp_default.empty()
           ? "all: no seccomp filter"
           : absl::StrCat("seccomp, ", security.seccomp_rules,
                          " rules; what none names: ", security.seccomp_default),
       security.seccomp_default.empty() ? Tint::kWarning : Tint::kNone);
  if (!security.apparmor.empty()) Line("AppArmor", security.apparmor);
  if (!security.selinux.empty()) Line("SELinux", security.selinux);
  for (const DeviceFact& device : facts_.devices) {
    Line("device",
         absl::StrCat(device.path, " ", std::string(1, device.type), " ", device.major, ":",
                      device.minor),
         Tint::kWarning);
  }
  if (facts_.pid != 0) {
    Prove(
        absl::StrCat("grep -E 'Cap|Seccomp|NoNewPrivs|Uid|Groups' /proc/", facts_.pid, "/status"));
  }
}

void Page::Network() {
  const NetworkFact& network = facts_.network;
  Section("NETWORK");
  if (network.of_host)
    return Line("-", "the node's own, with all that listens there", Tint::kWarning);
  Line("address", network.addresses.empty() ? "none" : absl::StrJoin(network.addresses, ", "));
  if (network.inside.has_value()) {
    const InterfaceFact& inside = *network.inside;
    Line("interface", absl::StrCat(inside.name, ", ", inside.mac, ", MTU ", inside.mtu));
    Line("", absl::StrCat("received ", HumanBytes(inside.received_bytes), ", sent ",
                          HumanBytes(inside.sent_bytes), "; dropped ",
                          inside.received_drops + inside.sent_drops, " packets"));
  }
  if (!network.veth.empty()) {
    Line("on the node", network.bridge.empty()
                            ? network.veth
                            : absl::StrCat(network.veth, " in bridge ", network.bridge));
  }
  for (const PortFact& port : network.ports) {
    Line("port",
         absl::StrCat(port.host_address.empty() ? "*" : port.host_address, ":", port.host_port, "/",
                      port.protocol, " on the node is ", port.container_port, " inside"));
  }
  if (!network.ingress_limit.empty())
    Line("receives", "at most " + network.ingress_limit + " bits a second");
  if (!network.egress_limit.empty())
    Line("sends", "at most " + network.egress_limit + " bits a second");
  if (facts_.pid != 0) Prove(absl::StrCat("nsenter -t ", facts_.pid, " -n ip address"));
}

std::string Millis(absl::Duration duration) {
  return absl::StrFormat("%.2f ms", absl::ToDoubleMilliseconds(duration));
}

void Page::Steps() {
  Section("HOW IT WAS STARTED");
  std::string operation;
  absl::Time end;
  for (const StepFact& step : facts_.steps) {
    const absl::Duration idle = operation.empty() ? absl::ZeroDuration() : step.at - end;
    // The daemon waits for nobody between two steps of one operation.
    if (idle >= absl::Microseconds(50)) Line("", Millis(idle) + "  until the next request");
    Line(step.operation == operation           ? ""
         : step.operation == "CreateContainer" ? "create"
         : step.operation == "StartContainer"  ? "start"
                                               : step.operation,
         absl::StrCat(Millis(step.took), "  ", step.step));
    operation = step.operation;
    end = step.at + step.took;
  }
}

std::string Page::Render() {
  Head();
  Namespaces();
  Cgroup();
  Layers();
  Mounts();
  Security();
  Network();
  if (!facts_.steps.empty()) Steps();
  return text_;
}

void Page::PodHead() {
  absl::StrAppend(&text_, "Pod ", facts_.pod_name, " (", facts_.pod_id, ")\n");
  Line("state",
       facts_.state == "ready" ? "ready for " + HumanDuration(style_.now - facts_.created)
                               : "stopped, or its shim has died",
       facts_.state == "ready" ? Tint::kGood : Tint::kBad);
  if (facts_.pid != 0) Line("shim", absl::StrCat("process ", facts_.pid, " on the node"));
  for (const ContainerLine& line : facts_.containers) {
    Line("container", absl::StrCat(line.name, " (", ShortId(line.id), "), ", line.state));
  }
}

std::string Page::RenderPod() {
  PodHead();
  Namespaces();
  Network();
  if (!facts_.steps.empty()) Steps();
  return text_;
}

}  // namespace

std::string StateInWords(const ExplainFacts& facts, absl::Time now) {
  if (facts.state == "running") return "running for " + HumanDuration(now - facts.started);
  if (facts.state == "created") return "created " + HumanAge(facts.created, now) + ", not started";
  if (facts.state != "exited") return "not known";
  std::string text = absl::StrCat("exited with code ", facts.exit_code);
  // A program may also end with such a code by itself; the daemon's record has no more.
  if (facts.exit_code > 128 && facts.exit_code < 128 + 65) {
    absl::StrAppend(&text, " (ended by ", SignalName(facts.exit_code - 128), ")");
  }
  absl::StrAppend(&text, " ", HumanAge(facts.finished, now));
  if (facts.started != absl::UnixEpoch()) {
    absl::StrAppend(&text, ", having run for ", HumanDuration(facts.finished - facts.started));
  }
  if (facts.reason == "OOMKilled") {
    absl::StrAppend(&text, ": the kernel killed it, for it had no memory left within its limit");
  } else if (!facts.reason.empty() && facts.reason != "Error" && facts.reason != "Completed") {
    absl::StrAppend(&text, ": ", facts.reason);
  }
  if (!facts.message.empty()) absl::StrAppend(&text, ": ", facts.message);
  return text;
}

std::string RenderPod(const ExplainFacts& facts, const ExplainStyle& style) {
  return Page(facts, style).RenderPod();
}

std::string RenderContainer(const ExplainFacts& facts, const ExplainStyle& style) {
  return Page(facts, style).Render();
}

}  // namespace crisp::cli
