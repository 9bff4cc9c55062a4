#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/check_message.h"
#include "cri/pod_manager.h"
#include "google/protobuf/util/message_differencer.h"
#include "runtime/cgroup_systemd.h"
#include "runtime/plan_builder.h"

namespace crisp::cri {
namespace {

using google::protobuf::util::MessageDifferencer;

// How long any one step may take that somebody else answers (a CNI plugin): longer than a kubelet
// waits, so that a slow success is still one for the retry.
constexpr absl::Duration kStepTime = absl::Minutes(5);
// For systemd to make a pod's scope.
constexpr absl::Duration kScopeTime = absl::Seconds(30);
constexpr absl::Duration kSparePause = absl::Milliseconds(20);
constexpr absl::Duration kSpareStart = absl::Milliseconds(4);
constexpr absl::Duration kSpareRetry = absl::Seconds(1);
constexpr absl::Duration kTrimPause = absl::Seconds(1);

const v1::NamespaceOption& NamespacesIn(const v1::PodSandboxConfig& config) {
  return config.linux().security_context().namespace_options();
}
bool HostNetwork(const v1::PodSandboxConfig& config) {
  return NamespacesIn(config).network() == v1::NODE;
}

// Whether a network will do that was made before the pod was known: limits are set where it is made.
bool TakesPreparedNetwork(const v1::PodSandboxConfig& config) {
  return !config.annotations().contains(network::kIngressBandwidth) &&
         !config.annotations().contains(network::kEgressBandwidth);
}

absl::StatusOr<network::AttachRequest> MakeAttachRequest(const std::string& id,
                                                         const v1::PodSandboxConfig& config) {
  network::AttachRequest request{.pod_id = id,
                                 .pod_name = config.metadata().name(),
                                 .pod_namespace = config.metadata().namespace_(),
                                 .pod_uid = config.metadata().uid(),
                                 .cgroup_parent = config.linux().cgroup_parent()};
  for (const v1::PortMapping& port : config.port_mappings()) {
    if (port.host_port() <= 0) continue;
    if (port.host_port() > 65535 || port.container_port() <= 0 || port.container_port() > 65535) {
      return absl::InvalidArgumentError(absl::StrCat("port_mappings: ", port.host_port(), " to ",
                                                     port.container_port(), " is out of range"));
    }
    const network::Protocol protocol = port.protocol() == v1::UDP    ? network::Protocol::kUdp
                                       : port.protocol() == v1::SCTP ? network::Protocol::kSctp
                                                                     : network::Protocol::kTcp;
    request.ports.push_back({.protocol = protocol,
                             .container_port = static_cast<uint16_t>(port.container_port()),
                             .host_port = static_cast<uint16_t>(port.host_port()),
                             .host_ip = port.host_ip()});
  }
  for (const auto& [key, value] : config.annotations()) request.annotations[key] = value;
  const v1::DNSConfig& dns = config.dns_config();
  request.dns_servers.assign(dns.servers().begin(), dns.servers().end());
  request.dns_searches.assign(dns.searches().begin(), dns.searches().end());
  request.dns_options.assign(dns.options().begin(), dns.options().end());
  return request;
}

// Every pod with a network of its own has these, and every spare before it is a pod.
constexpr char kLowestPort[] = "net.ipv4.ip_unprivileged_port_start";
constexpr char kPingGroups[] = "net.ipv4.ping_group_range";

// Takes from the plan what is said of the pod's interface and its addresses, or could hinder them: it
// must wait until they are there.
network::Sysctls TakeNetworkSysctls(runtime::PodPlan& plan) {
  network::Sysctls taken;
  std::erase_if(plan.sysctls, [&taken](const auto& sysctl) {
    const auto& [name, value] = sysctl;
    if (!absl::StartsWith(name, "net.") || name == kLowestPort || name == kPingGroups) return false;
    taken.push_back(sysctl);
    return true;
  });
  return taken;
}

absl::StatusOr<runtime::PodInputs> MakePodInputs(const std::string& id,
                                                 const v1::PodSandboxConfig& config) {
  const v1::NamespaceOption& options = NamespacesIn(config);
  runtime::PodInputs inputs{.pod_id = id,
                            .hostname = config.hostname(),
                            .host_network = options.network() == v1::NODE,
                            .host_ipc = options.ipc() == v1::NODE,
                            .shared_pid = options.pid() == v1::POD};
  CRISP_ASSIGN_OR_RETURN(inputs.uid_maps, ToIdMaps(options.userns_options().uids()));
  CRISP_ASSIGN_OR_RETURN(inputs.gid_maps, ToIdMaps(options.userns_options().gids()));
  if (!inputs.host_network) {
    // Ports below 1024 and ICMP sockets need no privilege inside a pod's own network.
    inputs.sysctls[kLowestPort] = "0";
    if (inputs.uid_maps.empty()) inputs.sysctls[kPingGroups] = "0 2147483647";
  }
  for (const auto& [key, value] : config.linux().sysctls()) {
    inputs.sysctls[key] = value;
  }
  return inputs;
}

}  // namespace

absl::StatusOr<runtime::PodPlan> PodManager::UsualPlan() {
  CRISP_ASSIGN_OR_RETURN(const runtime::PodInputs inputs, MakePodInputs("", v1::PodSandboxConfig()));
  return runtime::BuildPodPlan(inputs);
}

absl::Status PodManager::CheckPodConfig(const v1::RunPodSandboxRequest& request) const {
  const v1::PodSandboxConfig& config = request.config();
  if (!config.has_metadata() || config.metadata().name().empty()) {
    return absl::InvalidArgumentError("config.metadata: a pod sandbox needs a name");
  }
  CRISP_RETURN_IF_ERROR(CheckMessage(config, "config"));
  const std::string& handler = request.runtime_handler();
  if (!handler.empty() &&
      std::find(options_.handlers.begin(), options_.handlers.end(), handler) == options_.handlers.end()) {
    return absl::InvalidArgumentError(absl::StrCat("runtime_handler: \"", handler, "\" is not configured"));
  }
  const v1::LinuxSandboxSecurityContext& context = config.linux().security_context();
  if (context.has_run_as_group() && !context.has_run_as_user()) {
    return absl::InvalidArgumentError("run_as_group: needs run_as_user beside it");
  }
  if (config.hostname().size() > 64) {
    return absl::InvalidArgumentError("hostname: longer than the kernel's 64 bytes");
  }
  // It goes into /etc/hosts.
  for (const unsigned char c : config.hostname()) {
    if (!absl::ascii_isgraph(c) || c == '/' || c == '#') {
      return absl::InvalidArgumentError("hostname: holds a blank, a control character, a slash or a hash");
    }
  }
  const std::string& logs = config.log_directory();
  if (!logs.empty() && (logs[0] != '/' || logs.size() >= PATH_MAX)) {
    return absl::InvalidArgumentError("log_directory: must be an absolute path of less than 4096 bytes");
  }
  // Also to remove a group one has to be able to name it: with ours below it.
  for (absl::string_view part : absl::StrSplit(config.linux().cgroup_parent(), '/')) {
    if (part.size() <= NAME_MAX && config.linux().cgroup_parent().size() <= PATH_MAX / 2) continue;
    return absl::InvalidArgumentError("linux.cgroup_parent: is longer than the kernel's paths");
  }
  CRISP_RETURN_IF_ERROR(MakeAttachRequest("", config).status());
  const v1::UserNamespace& userns = context.namespace_options().userns_options();
  if (!options_.no_user_namespaces.empty() && userns.mode() == v1::POD && userns.uids_size() > 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("userns_options: this node runs no pods with a user namespace (hostUsers: false): ",
                     options_.no_user_namespaces));
  }
  return CheckPodNamespaces(context.namespace_options());
}

absl::StatusOr<std::string> PodManager::ExistingPod(const std::string& key,
                                                    const v1::RunPodSandboxRequest& request) {
  std::string id;
  {
    absl::MutexLock lock(&names_mutex_);
    auto it = names_.find(key);
    if (it == names_.end()) return std::string();
    id = it->second;
  }
  auto pod = pods_.Find(id);
  if (!pod.ok() || !(*pod)->Ready()) return std::string();
  const auto held = (*pod)->Snapshot();
  const state::PodRecord& record = *held;
  if (record.runtime_handler() == request.runtime_handler() &&
      MessageDifferencer::Equals(record.config(), request.config())) {
    return id;
  }
  return absl::AlreadyExistsError(
      absl::StrCat("pod sandbox ", id, " is ready under this name, uid and attempt with another "
                   "configuration; stop it first"));
}

absl::Status PodManager::RunPodSandbox(const v1::RunPodSandboxRequest& request,
                                       v1::RunPodSandboxResponse* reply,
                                       const Cancel& cancel) {
  CRISP_RETURN_IF_ERROR(CheckPodConfig(request));
  const std::string key = PodNameKey(request.config().metadata());
  CRISP_ASSIGN_OR_RETURN(
      std::string id, creations_.Run(key, cancel, [&]() -> absl::StatusOr<std::string> {
        absl::StatusOr<std::string> existing = ExistingPod(key, request);
        if (!existing.ok() || !existing->empty()) return existing;
        return RunPod(request, key);
      }));
  reply->set_pod_sandbox_id(std::move(id));
  return absl::OkStatus();
}

absl::StatusOr<std::string> PodManager::RunPod(const v1::RunPodSandboxRequest& request,
                                               const std::string& key) {
  state::PodRecord record;
  record.set_id(GenerateId());
  *record.mutable_config() = request.config();
  record.set_runtime_handler(request.runtime_handler());
  record.set_created_at(absl::ToUnixNanos(absl::Now()));
  const std::string& parent = request.config().linux().cgroup_parent();
  CRISP_ASSIGN_OR_RETURN(std::string cgroup,
                         runtime::PodCgroupPath(options_.cgroup_driver, parent, record.id()));
  record.set_cgroup_path(std::move(cgroup));
  CRISP_RETURN_IF_ERROR(AssignSelinux(record));
  // Slices are systemd's.
  record.set_owns_cgroup(parent.empty() ||
                         (!UsesSystemd() && ClaimCgroup(record.cgroup_path())));
  const PodPtr pod = std::make_shared<Pod>(std::move(record), key);
  StepTimer timer("RunPodSandbox", pod->steps, metrics_);
  if (absl::Status written = Change(*pod, [](state::PodRecord&) {}); !written.ok()) {
    const auto held_unwritten = pod->Snapshot();
    const state::PodRecord& unwritten = *held_unwritten;
    mcs_.Release(unwritten.selinux_level());
    if (unwritten.owns_cgroup() && !parent.empty()) (void)ReleaseCgroup(CgroupAt(unwritten.cgroup_path()));
    return written;
  }
  timer.Done("record");

  absl::Status made = MakePod(pod, timer);
  AddSparesSoon();
  TrimSoon();
  if (made.ok()) made = Change(*pod, [](state::PodRecord& r) { r.set_stage(state::PodRecord::READY); });
  if (made.ok()) made = copies_.Write(*pod->Snapshot());
  if (!made.ok()) {
    LogWarning("pod.run.failed", {{"pod", pod->id}, {"error", made.ToString()}});
    // So that a restart goes on with the undoing.
    (void)Change(*pod, [](state::PodRecord& r) { r.set_stage(state::PodRecord::REMOVING); });
    if (!TearDownPod(pod).ok()) {
      cleanup_.UntilDone(absl::StrCat("undo of pod ", pod->id), [this, pod] { return TearDownPod(pod); });
    }
    return made;
  }
  {
    absl::MutexLock lock(&names_mutex_);
    names_[key] = pod->id;
  }
  pods_.Insert(pod->id, pod);
  // Before that nobody could be told that it had died, or the connection.
  const std::shared_ptr<runtime::Shim> shim = pod->GetShim();
  if (shim == nullptr || !shim->alive()) {
    HandleShimDeath(pod);
  } else if (!shim->connected()) {
    HandleShimLost(pod);
  }
  ArmSampler();
  Publish(pod, pod->id, v1::CONTAINER_CREATED_EVENT);
  Publish(pod, pod->id, v1::CONTAINER_STARTED_EVENT);
  timer.Done("publish");
  LogInfo("pod.ready", {{"pod", pod->id}, {"name", request.config().metadata().name()}});
  return pod->id;
}

void PodManager::AddSparesSoon() {
  if (adding_spares_.exchange(true)) return;
  cleanup_.PostAt(absl::Now() + kSparePause, [this] {
    adding_spares_ = false;
    shims_->AddSpares();
    PrepareSparesSoon();
  });
}

void PodManager::PrepareSparesSoon() { PrepareSparesIn(kSpareStart); }

void PodManager::PrepareSparesIn(absl::Duration pause) {
  if (!options_.attach_spares || preparing_spares_.exchange(true)) return;
  cleanup_.PostAt(absl::Now() + pause, [this] {
    preparing_spares_ = false;
    PrepareSpares();
  });
}

void PodManager::PrepareSpares() {
  const absl::Status prepared = shims_->PrepareSpares(
      [this](const std::string& key, int netns_fd, int rtnl_fd) {
        return network_->Prepare(key, netns_fd, rtnl_fd);
      });
  if (absl::IsDeadlineExceeded(prepared)) return PrepareSparesIn(kSpareRetry);
  if (prepared.ok() || absl::IsFailedPrecondition(prepared)) return;
  LogWarning("pod.spare_network_failed", {{"error", prepared.ToString()}});
}

void PodManager::TrimSoon() {
  if (trimming_.exchange(true)) return;
  cleanup_.PostAt(absl::Now() + kTrimPause, [this] {
    trimming_ = false;
    (void)malloc_trim(0);
  });
}

bool PodManager::ClaimCgroup(const std::string& path) {
  struct stat st {};
  absl::MutexLock lock(&groups_mutex_);
  const bool ours =
      own_groups_.contains(path) || stat(CgroupAt(path).PrimaryDir().c_str(), &st) != 0;
  if (ours) ++own_groups_[path];
  return ours;
}

absl::Status PodManager::MakePod(const PodPtr& pod, StepTimer& timer) {
  const v1::PodSandboxConfig config = pod->Snapshot()->config();
  CRISP_RETURN_IF_ERROR(MakeDirs(absl::StrCat(PodDir(pod->id), "/exits"), 0700));
  if (!config.log_directory().empty()) {
    CRISP_RETURN_IF_ERROR(Annotate(paths_->MakeDirs(config.log_directory()), "log directory"));
  }
  timer.Done("directories");
  network::Sysctls sysctls;
  CRISP_ASSIGN_OR_RETURN(const PodFiles files, StartShim(pod, config, &sysctls));
  timer.Done("shim");
  if (!HostNetwork(config)) CRISP_RETURN_IF_ERROR(AttachNetwork(pod, config, std::move(sysctls)));
  timer.Done("network");
  const auto held = pod->Snapshot();
  const state::PodRecord& record = *held;
  CRISP_RETURN_IF_ERROR(
      files.Write("hosts", HostsOf(config, {record.addresses().begin(), record.addresses().end()})));
  timer.Done("hosts");
  return absl::OkStatus();
}

absl::StatusOr<PodFiles> PodManager::StartShim(const PodPtr& pod,
                                               const v1::PodSandboxConfig& config,
                                               network::Sysctls* network_sysctls) {
  const auto held = pod->Snapshot();
  const state::PodRecord& record = *held;
  CRISP_ASSIGN_OR_RETURN(runtime::PodInputs inputs, MakePodInputs(pod->id, config));
  const std::string& parent = config.linux().cgroup_parent();
  CRISP_ASSIGN_OR_RETURN(
      const std::string own,
      runtime::ContainerCgroupPath(options_.cgroup_driver, parent, pod->id, pod->id));
  const auto make_group = [&] { return CgroupAt(record.cgroup_path()).CreateDirs(); };
  // A scope is made around a process: what is to be in it is moved there.
  if (!UsesSystemd() && inputs.shared_pid) {
    CRISP_RETURN_IF_ERROR(make_group());
    CRISP_RETURN_IF_ERROR(CgroupAt(own).CreateDirs());
    inputs.cgroup_dirs = CgroupAt(own).Dirs();
  }
  inputs.cgroup_v2 = layout_->v2;
  inputs.state_dir = PodDir(pod->id);
  inputs.mount_label = record.selinux_mount_label();
  CRISP_ASSIGN_OR_RETURN(inputs.init_label, PodInitLabel(record));
  CRISP_ASSIGN_OR_RETURN(runtime::PodPlan plan, runtime::BuildPodPlan(inputs));
  *network_sysctls = TakeNetworkSysctls(plan);
  // The shim's own work does not need what is made here.
  absl::StatusOr<std::string> resolv_conf;
  const auto meanwhile = [&]() -> absl::Status {
    if (!UsesSystemd() && !inputs.shared_pid) CRISP_RETURN_IF_ERROR(make_group());
    resolv_conf = ResolvConfOf(config);
    return resolv_conf.status();
  };
  CRISP_ASSIGN_OR_RETURN(std::shared_ptr<runtime::Shim> shim,
                         shims_->StartPod(plan, Cancel(absl::Now() + kStepTime), meanwhile,
                                          options_.attach_spares && TakesPreparedNetwork(config)));
  const pid_t pid = shim->pid();
  PodFiles files(shim->TakeFiles(), plan.uid_maps.empty() ? 0 : plan.uid_maps[0].host_id,
                 plan.gid_maps.empty() ? 0 : plan.gid_maps[0].host_id);
  // Its row is written with the stage; until then a restarted daemon finds the shim by its directory.
  pod->Edit([pid](state::PodRecord& edited) { edited.set_shim_pid(pid); });
  {
    absl::MutexLock lock(&pod->mutex);
    pod->shim = std::move(shim);
  }
  CRISP_RETURN_IF_ERROR(files.Write("hostname", absl::StrCat(HostnameOf(config), "\n")));
  CRISP_RETURN_IF_ERROR(files.Write("resolv.conf", *resolv_conf));
  if (!UsesSystemd()) return files;
  CRISP_ASSIGN_OR_RETURN(const std::string slice, runtime::PodSlice(parent));
  CRISP_RETURN_IF_ERROR(
      runtime::PlaceShim(CgroupAt(own), slice, pod->id, pid, Cancel(absl::Now() + kScopeTime)));
  return files;
}

absl::Status PodManager::AttachNetwork(const PodPtr& pod,
                                       const v1::PodSandboxConfig& config,
                                       network::Sysctls sysctls) {
  const std::shared_ptr<runtime::Shim> shim = pod->GetShim();
  CRISP_ASSIGN_OR_RETURN(network::AttachRequest request, MakeAttachRequest(pod->id, config));
  request.netns_fd = shim->netns_fd();
  request.rtnl_fd = shim->rtnl_fd();
  request.netns_path = absl::StrCat("/proc/", shim->pid(), "/ns/net");
  request.sysctls = std::move(sysctls);
  request.prepared = shim->prepared_network();
  CRISP_ASSIGN_OR_RETURN(const network::Attachment attachment,
                         network_->Attach(request, Cancel(absl::Now() + kStepTime)));
  if (!request.ports.empty()) CRISP_RETURN_IF_ERROR(KeepPorts(*pod, *shim));
  pod->Edit([&attachment](state::PodRecord& edited) {
    edited.mutable_addresses()->Assign(attachment.addresses.begin(), attachment.addresses.end());
  });
  return absl::OkStatus();
}

// The daemon may end at any moment; whose ports they are is there as long as the pod.
absl::Status PodManager::KeepPorts(const Pod& pod, runtime::Shim& shim) {
  const std::vector<UniqueFd> holds = network_->TakePortHolds(pod.id);
  std::vector<int> borrowed;
  for (const UniqueFd& hold : holds) borrowed.push_back(hold.get());
  return Annotate(shim.Keep(borrowed, Cancel(absl::Now() + kStepTime)), "keep the pod's host ports");
}

}  // namespace crisp::cri
