#include "cli/explain/explain_collect.h"

#include <sys/stat.h>

#include <memory>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "cli/client/verbose.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/cgroup/cgroup_layout.h"
#include "runtime/oci/oci_spec.h"

namespace crisp::cli {
namespace {

namespace v1 = ::runtime::v1;

constexpr const char* kNamespaces[] = {"pid", "mnt", "net", "ipc", "uts", "cgroup", "user", "time"};
constexpr size_t kMostImages = 200;  // that are asked for their layers

// A container's process on the node; 0 if it has none.
int64_t PidIn(const Json& explained) {
  const auto kernel = JsonObject(explained, "kernel");
  return kernel.ok() ? JsonInt(**kernel, "pid").value_or(0) : 0;
}

std::string StateName(v1::ContainerState state) {
  switch (state) {
    case v1::CONTAINER_CREATED:
      return "created";
    case v1::CONTAINER_RUNNING:
      return "running";
    case v1::CONTAINER_EXITED:
      return "exited";
    default:
      return "unknown";
  }
}

absl::Status TakeStatus(Client& client, ExplainFacts* facts) {
  v1::ContainerStatusRequest request;
  request.set_container_id(facts->id);
  CRISP_ASSIGN_OR_RETURN(const v1::ContainerStatusResponse reply,
                         client.Call(&Client::Runtime::ContainerStatus, request));
  const v1::ContainerStatus& status = reply.status();
  facts->state = StateName(status.state());
  facts->reason = status.reason();
  facts->message = status.message();
  facts->exit_code = status.exit_code();
  facts->created = absl::FromUnixNanos(status.created_at());
  facts->started = absl::FromUnixNanos(status.started_at());
  facts->finished = absl::FromUnixNanos(status.finished_at());
  facts->image = status.image().image();
  facts->image_id = status.image_id();
  facts->log = status.log_path();
  const v1::LinuxContainerResources& limits = status.resources().linux();
  facts->limits = {.cpu_quota = limits.cpu_quota(),
                   .cpu_period = limits.cpu_period(),
                   .cpu_shares = limits.cpu_shares(),
                   .cpus = limits.cpuset_cpus(),
                   .oom_score_adj = limits.oom_score_adj()};
  struct stat about;
  if (!facts->log.empty() && stat(facts->log.c_str(), &about) == 0) {
    facts->log_bytes = static_cast<uint64_t>(about.st_size);
  }
  return absl::OkStatus();
}

void TakeProcess(const runtime::OciSpec& spec, ExplainFacts* facts) {
  facts->args = spec.process.args;
  facts->directory = spec.process.cwd;
  SecurityFacts& security = facts->security;
  std::string user = absl::StrCat(spec.process.user.uid, ":", spec.process.user.gid);
  std::set<uint32_t> groups(spec.process.user.additional_gids.begin(),
                            spec.process.user.additional_gids.end());
  groups.erase(spec.process.user.gid);
  if (!groups.empty()) absl::StrAppend(&user, ", also in groups ", absl::StrJoin(groups, " "));
  security.user = user;
  security.no_new_privileges = spec.process.no_new_privileges;
  if (spec.process.capabilities.has_value()) {
    for (const std::string& name : spec.process.capabilities->effective) {
      security.capabilities.emplace_back(absl::StripPrefix(name, "CAP_"));
    }
    security.bounding = static_cast<int>(spec.process.capabilities->bounding.size());
  }
  security.apparmor = spec.process.apparmor_profile;
  security.selinux = spec.process.selinux_label;
}

void TakeSpec(const Json& json, ExplainFacts* facts) {
  const absl::StatusOr<runtime::OciSpec> spec = runtime::OciSpecFromJson(json);
  if (!spec.ok()) return;
  TakeProcess(*spec, facts);
  facts->security.read_only_root = spec->root.readonly;
  if (spec->linux_.seccomp.has_value()) {
    facts->security.seccomp_default = spec->linux_.seccomp->default_action;
    facts->security.seccomp_rules = spec->linux_.seccomp->syscalls.size();
  }
  // Without masks, and with every capability: nothing else is started so.
  facts->security.privileged =
      spec->linux_.masked_paths.empty() && facts->security.capabilities.size() > 37;
  for (const runtime::OciMount& mount : spec->mounts) {
    facts->mounts.push_back({.destination = mount.destination,
                             .source = mount.source,
                             .type = mount.type,
                             .options = mount.options});
  }
  for (const runtime::OciDevice& device : spec->linux_.devices) {
    facts->devices.push_back({.path = device.path,
                              .type = device.type.empty() ? 'c' : device.type[0],
                              .major = device.major,
                              .minor = device.minor});
  }
}

void TakeSteps(const Json& explained, ExplainFacts* facts) {
  const auto steps = JsonArray(explained, "timing");
  if (!steps.ok()) return;
  for (const Json& step : **steps) {
    StepFact fact;
    const std::string at = JsonString(step, "at").value_or("");
    if (!absl::ParseTime(absl::RFC3339_full, at, &fact.at, nullptr)) continue;
    fact.operation = JsonString(step, "operation").value_or("");
    fact.step = JsonString(step, "step").value_or("");
    fact.took = absl::Microseconds(JsonInt(step, "microseconds").value_or(0));
    facts->steps.push_back(std::move(fact));
  }
}

// The numbers of the group whose directories these are.
std::optional<runtime::CgroupStats> ReadUsage(const std::vector<std::string>& directories) {
  const absl::StatusOr<runtime::CgroupLayout> layout = runtime::DetectCgroups();
  if (!layout.ok()) return std::nullopt;
  const auto shared = std::make_shared<const runtime::CgroupLayout>(*layout);
  for (const std::string& directory : directories) {
    absl::string_view path = directory;
    if (!absl::ConsumePrefix(&path, layout->Primary().mount_point)) continue;
    runtime::CgroupStatsReader reader(runtime::Cgroup(shared, std::string(path)));
    absl::StatusOr<runtime::CgroupStats> stats = reader.Read();
    if (stats.ok()) return *std::move(stats);
  }
  return std::nullopt;
}

void TakeWritten(Client& client, ExplainFacts* facts) {
  v1::ContainerStatsRequest request;
  request.set_container_id(facts->id);
  const auto reply = client.Call(&Client::Runtime::ContainerStats, request);
  if (!reply.ok() || !reply->stats().has_writable_layer()) return;
  facts->written_bytes = reply->stats().writable_layer().used_bytes().value();
  facts->written_files = reply->stats().writable_layer().inodes_used().value();
}

std::string NameOfImage(const v1::Image& image) {
  if (image.repo_tags_size() > 0) return image.repo_tags(0);
  return image.repo_digests_size() > 0 ? image.repo_digests(0) : image.id();
}

std::string NameOfContainer(const Inventory& inventory, const std::string& id) {
  for (const ContainerEntry& entry : inventory.containers()) {
    if (entry.container.id() == id) return entry.name();
  }
  return id;
}

void TakeLayers(Client& client, const Inventory& inventory, ExplainFacts* facts) {
  const auto history = client.History(facts->image_id);
  if (!history.ok()) return;
  for (const auto& entry : history->entries()) {
    if (entry.empty_layer()) continue;
    LayerFact layer{.digest = entry.digest().empty() ? entry.diff_id() : entry.digest(),
                    .bytes = entry.size_bytes(),
                    .unpacked_bytes = entry.unpacked_bytes(),
                    .created_by = entry.created_by()};
    for (const std::string& id : entry.containers()) {
      if (id != facts->id) layer.containers.push_back(NameOfContainer(inventory, id));
    }
    facts->layers.push_back(std::move(layer));
  }
  const auto images = client.ListImages();
  if (!images.ok()) return;
  size_t asked = 0;
  for (const v1::Image& image : images->images()) {
    if (image.id() == facts->image_id || ++asked > kMostImages) continue;
    const auto other = client.History(image.id());
    if (!other.ok()) continue;
    std::set<std::string> digests;
    for (const auto& entry : other->entries()) digests.insert(entry.digest());
    for (LayerFact& layer : facts->layers) {
      if (digests.contains(layer.digest)) layer.images.push_back(NameOfImage(image));
    }
  }
}

void TakeShares(Client& client, const Inventory& inventory, ExplainFacts* facts) {
  for (const ContainerEntry& other : inventory.ContainersOf(facts->pod_id)) {
    if (other.container.id() == facts->id || !other.running()) continue;
    const absl::StatusOr<Json> explained = client.Explain(other.container.id());
    const int64_t pid = explained.ok() ? PidIn(*explained) : 0;
    if (pid == 0) continue;
    for (const NamespaceFact& theirs : CollectNamespaces("/proc", pid)) {
      for (NamespaceFact& ours : facts->namespaces) {
        if (ours.name == theirs.name && ours.inode == theirs.inode && !ours.of_host) {
          ours.shared_with.push_back(other.name());
        }
      }
    }
  }
}

void TakePod(Client& client, ExplainFacts* facts) {
  v1::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(facts->pod_id);
  request.set_verbose(true);
  const auto reply = client.Call(&Client::Runtime::PodSandboxStatus, request);
  if (!reply.ok()) return;
  const v1::PodSandboxStatus& status = reply->status();
  NetworkFact& network = facts->network;
  network.of_host = status.linux().namespaces().options().network() == v1::NODE;
  if (!status.network().ip().empty()) network.addresses.push_back(status.network().ip());
  for (const v1::PodIP& more : status.network().additional_ips()) {
    network.addresses.push_back(more.ip());
  }
  for (const auto& [key, value] : status.annotations()) {
    if (key == "kubernetes.io/ingress-bandwidth") network.ingress_limit = value;
    if (key == "kubernetes.io/egress-bandwidth") network.egress_limit = value;
  }
  const absl::StatusOr<Json> info = VerboseInfo(*reply);
  if (!info.ok()) return;
  if (facts->id.empty()) facts->pid = JsonInt(*info, "pid").value_or(0);  // the pod itself is meant
  const auto config = JsonObject(*info, "config");
  const auto ports = config.ok() ? JsonArray(**config, "port_mappings") : config;
  if (!ports.ok()) return;
  constexpr const char* kProtocols[] = {"tcp", "udp", "sctp"};
  for (const Json& port : **ports) {
    const int64_t host = JsonInt(port, "host_port").value_or(0);
    const int64_t protocol = JsonInt(port, "protocol").value_or(0);
    if (host <= 0 || protocol < 0 || protocol > 2) continue;
    network.ports.push_back(
        {.host_address = JsonString(port, "host_ip").value_or(""),
         .protocol = kProtocols[protocol],
         .host_port = static_cast<int>(host),
         .container_port = static_cast<int>(JsonInt(port, "container_port").value_or(0))});
  }
}

}  // namespace

std::vector<NamespaceFact> CollectNamespaces(const std::string& proc, int64_t pid) {
  std::vector<NamespaceFact> found;
  for (const char* name : kNamespaces) {
    struct stat ours = {}, host = {};
    if (stat(absl::StrCat(proc, "/", pid, "/ns/", name).c_str(), &ours) != 0) continue;
    // Some machines let nobody look at their first process. Whoever asks is on the node as well.
    if (stat(absl::StrCat(proc, "/1/ns/", name).c_str(), &host) != 0) {
      (void)stat(absl::StrCat(proc, "/self/ns/", name).c_str(), &host);
    }
    found.push_back({.name = name, .inode = ours.st_ino, .of_host = host.st_ino == ours.st_ino});
  }
  return found;
}

std::vector<IdMapFact> ParseIdMap(const std::string& text) {
  std::vector<IdMapFact> map;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipWhitespace())) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    IdMapFact fact;
    if (words.size() == 3 && absl::SimpleAtoi(words[0], &fact.inside) &&
        absl::SimpleAtoi(words[1], &fact.outside) && absl::SimpleAtoi(words[2], &fact.count)) {
      map.push_back(fact);
    }
  }
  return map;
}

absl::StatusOr<ExplainFacts> CollectContainer(Client& client,
                                              const Inventory& inventory,
                                              const ContainerEntry& entry) {
  ExplainFacts facts;
  facts.id = entry.container.id();
  facts.name = entry.name();
  facts.pod_id = entry.container.pod_sandbox_id();
  facts.pod_name = entry.pod.name();
  CRISP_RETURN_IF_ERROR(TakeStatus(client, &facts));
  CRISP_ASSIGN_OR_RETURN(const Json explained, client.Explain(facts.id));
  CRISP_ASSIGN_OR_RETURN(const Json* spec, JsonObject(explained, "spec"));
  CRISP_ASSIGN_OR_RETURN(const Json* groups, JsonArray(explained, "cgroups"));
  for (const Json& group : *groups) {
    if (group.is_string()) facts.cgroups.push_back(group.get<std::string>());
  }
  TakeSpec(*spec, &facts);
  TakeSteps(explained, &facts);
  if (facts.state == "running") facts.pid = PidIn(explained);
  if (facts.pid != 0) {
    facts.namespaces = CollectNamespaces("/proc", facts.pid);
    TakeShares(client, inventory, &facts);
    for (const NamespaceFact& fact : facts.namespaces) {
      if (fact.name != "user" || fact.of_host) continue;
      facts.user_map =
          ParseIdMap(ReadFile(absl::StrCat("/proc/", facts.pid, "/uid_map")).value_or(""));
    }
  }
  facts.usage = ReadUsage(facts.cgroups);
  TakeWritten(client, &facts);
  TakeLayers(client, inventory, &facts);
  TakePod(client, &facts);
  if (facts.pid != 0 && !facts.network.of_host) CollectLink(facts.pid, &facts.network);
  return facts;
}

absl::StatusOr<ExplainFacts> CollectPod(Client& client,
                                        const Inventory& inventory,
                                        const PodEntry& entry) {
  ExplainFacts facts;
  facts.pod_id = entry.pod.id();
  facts.pod_name = entry.name();
  facts.state = entry.ready() ? "ready" : "not ready";
  facts.created = absl::FromUnixNanos(entry.pod.created_at());
  CRISP_ASSIGN_OR_RETURN(const Json explained, client.Explain(facts.pod_id));
  TakeSteps(explained, &facts);
  TakePod(client, &facts);
  if (facts.pid != 0) {
    facts.namespaces = CollectNamespaces("/proc", facts.pid);
    if (!facts.network.of_host) CollectLink(facts.pid, &facts.network);
  }
  for (const ContainerEntry& container : inventory.ContainersOf(facts.pod_id)) {
    facts.containers.push_back({.id = container.container.id(),
                                .name = container.name(),
                                .state = StateName(container.container.state())});
  }
  return facts;
}

}  // namespace crisp::cli
