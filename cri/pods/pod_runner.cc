#include "cri/pods/pod_runner.h"

#include <fcntl.h>
#include <sys/types.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/pods/pod_inputs.h"
#include "cri/spec/operator_asks.h"
#include "cri/state/life_log.h"
#include "google/protobuf/util/message_differencer.h"
#include "runtime/cgroup/cgroup_systemd.h"

namespace crisp::cri {
namespace {

using google::protobuf::util::MessageDifferencer;

// How long any one step may take that somebody else answers (a CNI plugin): longer than a kubelet
// waits, so that a slow success is still one for the retry.
constexpr absl::Duration kStepTime = absl::Minutes(5);
// For systemd to make a pod's scope.
constexpr absl::Duration kScopeTime = absl::Seconds(30);

// For the files of pods whose runtime has no place for them.
absl::StatusOr<UniqueFd> MakeFilesDir(const std::string& path) {
  CRISP_RETURN_IF_ERROR(MakeDirs(path, 0755));
  return Open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

}  // namespace

absl::StatusOr<std::string> PodRunner::Existing(const std::string& key,
                                                const v1::RunPodSandboxRequest& request) {
  const std::string id = table_.IdOf(key);
  if (id.empty()) return std::string();
  auto pod = table_.FindPod(id);
  if (!pod.ok() || !(*pod)->Ready()) return std::string();
  const auto held = (*pod)->Snapshot();
  const state::PodRecord& record = *held;
  if (record.runtime_handler() == request.runtime_handler() &&
      MessageDifferencer::Equals(record.config(), request.config())) {
    return id;
  }
  return absl::AlreadyExistsError(
      absl::StrCat("pod sandbox ", id,
                   " is ready under this name, uid and attempt with another "
                   "configuration; stop it first"));
}

absl::StatusOr<std::string> PodRunner::Run(View view,
                                           const v1::RunPodSandboxRequest& request,
                                           const Operation& operation) {
  CRISP_RETURN_IF_ERROR(CheckPodRequest(request));
  if (view == View::kOperator) CRISP_RETURN_IF_ERROR(ParsePodAsks(request.config()).status());
  CRISP_ASSIGN_OR_RETURN(runtime::PodRuntime* const runtime,
                         shims_.handlers().Find(request.runtime_handler()));
  CRISP_RETURN_IF_ERROR(CheckFeatures(request.config(), runtime->features()));
  const std::string key = PodNameKey(request.config().metadata(), view);
  return creations_.Run(key, operation, [&]() -> absl::StatusOr<std::string> {
    absl::StatusOr<std::string> existing = Existing(key, request);
    if (!existing.ok() || !existing->empty()) return existing;
    return RunNew(view, request, key, *runtime);
  });
}

absl::StatusOr<std::string> PodRunner::RunNew(View view,
                                              const v1::RunPodSandboxRequest& request,
                                              const std::string& key,
                                              runtime::PodRuntime& runtime) {
  state::PodRecord record;
  record.set_id(GenerateId());
  *record.mutable_config() = request.config();
  record.set_runtime_handler(request.runtime_handler());
  record.set_runtime_type(runtime.type());
  record.set_of_operator(view == View::kOperator);
  record.set_created_at(absl::ToUnixNanos(absl::Now()));
  const std::string& parent = request.config().linux().cgroup_parent();
  CRISP_ASSIGN_OR_RETURN(std::string cgroup,
                         runtime::PodCgroupPath(node_.options.cgroup_driver, parent, record.id()));
  record.set_cgroup_path(std::move(cgroup));
  CRISP_ASSIGN_OR_RETURN(LevelLease level, labels_.AssignTo(record));
  // Slices are systemd's.
  record.set_owns_cgroup(
      parent.empty() || (!node_.UsesSystemd() && claims_.Claim(record.cgroup_path(), record.id())));
  const PodPtr pod = std::make_shared<Pod>(std::move(record), key, &runtime);
  {
    absl::MutexLock lock(&pod->mutex);
    pod->level = std::move(level);
  }
  StepTimer timer("RunPodSandbox", pod->steps, node_.metrics);
  if (absl::Status written = table_.Add(*pod); !written.ok()) {
    (void)claims_.Release(pod->Snapshot()->cgroup_path(), pod->id);
    return written;
  }
  timer.Done("record");

  absl::Status made = Make(pod, timer);
  spares_.AddSoon();
  if (made.ok()) made = table_.Advance(*pod, Mover::kMaker, state::PodRecord::READY).status;
  if (made.ok()) made = table_.KeepCopy(*pod);
  if (!made.ok()) {
    LogPod(LogLevel::kWarning, "pod.run.failed", *pod, {{"error", made.ToString()}});
    // So that a restart goes on with the undoing.
    (void)table_.Advance(*pod, Mover::kMaker, state::PodRecord::REMOVING);
    events_.Tell(LifePoint::kPodFailed, pod);
    ender_.Undo(pod);
    return made;
  }
  table_.Show(pod);
  // Before that nobody could be told that its shim had died, or the connection.
  shims_.LookAt(pod);
  events_.Tell(LifePoint::kPodReady, pod);
  timer.Done("publish");
  LogPod(LogLevel::kInfo, "pod.ready", *pod);
  return pod->id;
}

absl::Status PodRunner::Make(const PodPtr& pod, StepTimer& timer) {
  const v1::PodSandboxConfig config = pod->Snapshot()->config();
  CRISP_RETURN_IF_ERROR(MakeDirs(absl::StrCat(node_.PodDir(pod->id), "/exits"), 0700));
  if (!config.log_directory().empty()) {
    CRISP_RETURN_IF_ERROR(Annotate(node_.paths->MakeDirs(config.log_directory()), "log directory"));
  }
  timer.Done("directories");
  network::Sysctls sysctls;
  CRISP_ASSIGN_OR_RETURN(const PodFiles files, StartShim(pod, config, &sysctls));
  timer.Done("shim");
  if (!UsesHostNetwork(config)) CRISP_RETURN_IF_ERROR(MakeNetwork(pod, config, std::move(sysctls)));
  timer.Done("network");
  const auto held = pod->Snapshot();
  const state::PodRecord& record = *held;
  CRISP_RETURN_IF_ERROR(files.Write(
      "hosts", HostsOf(config, {record.addresses().begin(), record.addresses().end()})));
  timer.Done("hosts");
  return absl::OkStatus();
}

absl::StatusOr<PodFiles> PodRunner::StartShim(const PodPtr& pod,
                                              const v1::PodSandboxConfig& config,
                                              network::Sysctls* network_sysctls) {
  const auto held = pod->Snapshot();
  const state::PodRecord& record = *held;
  CRISP_ASSIGN_OR_RETURN(runtime::PodSpec spec, MakePodSpec(pod->id, config));
  const PodAsks asks = AsksOf(record);
  spec.shm_bytes = asks.shm_bytes.value_or(spec.shm_bytes);
  const std::string& parent = config.linux().cgroup_parent();
  CRISP_ASSIGN_OR_RETURN(
      const std::string own,
      runtime::ContainerCgroupPath(node_.options.cgroup_driver, parent, pod->id, pod->id));
  const auto make_group = [&] { return node_.CgroupAt(record.cgroup_path()).CreateDirs(); };
  // A scope is made around a process: what is to be in it is moved there.
  if (!node_.UsesSystemd() && spec.shared_pid) {
    CRISP_RETURN_IF_ERROR(make_group());
    CRISP_RETURN_IF_ERROR(node_.CgroupAt(own).CreateDirs());
    spec.cgroup_dirs = node_.CgroupAt(own).Dirs();
  }
  spec.cgroup_v2 = node_.layout->v2;
  spec.state_dir = node_.PodDir(pod->id);
  spec.mount_label = record.selinux_mount_label();
  CRISP_ASSIGN_OR_RETURN(spec.init_label, labels_.PodInitLabel(record));
  CRISP_ASSIGN_OR_RETURN(spec.sysctls, runtime::CheckedSysctls(spec));
  *network_sysctls = TakeNetworkSysctls(spec);
  // The runtime's own work does not need what is made here.
  absl::StatusOr<std::string> resolv_conf;
  const auto meanwhile = [&]() -> absl::Status {
    if (!node_.UsesSystemd() && !spec.shared_pid) CRISP_RETURN_IF_ERROR(make_group());
    resolv_conf = ResolvConfOf(config);
    return resolv_conf.status();
  };
  const runtime::PodStart how{.meanwhile = meanwhile,
                              .prepared_network = node_.options.attach_spares && !asks.no_network &&
                                                  TakesPreparedNetwork(config)};
  CRISP_ASSIGN_OR_RETURN(std::shared_ptr<runtime::PodHandle> handle,
                         pod->runtime->StartPod(spec, how, Operation(absl::Now() + kStepTime)));
  const pid_t pid = handle->pid();
  UniqueFd directory = handle->TakeFiles();
  // Its row is written with the stage; until then a restarted daemon finds the shim by its
  // directory.
  table_.Note(*pod, [pid](state::PodRecord& edited) { edited.set_shim_pid(pid); });
  {
    absl::MutexLock lock(&pod->mutex);
    pod->handle = std::move(handle);
  }
  const bool on_host = !directory;  // bound with the pod's ids from there
  if (on_host) {
    CRISP_ASSIGN_OR_RETURN(directory, MakeFilesDir(node_.FilesDir(pod->id)));
  }
  PodFiles files(std::move(directory),
                 on_host || spec.uid_maps.empty() ? 0 : spec.uid_maps[0].host_id,
                 on_host || spec.gid_maps.empty() ? 0 : spec.gid_maps[0].host_id);
  CRISP_RETURN_IF_ERROR(files.Write("hostname", absl::StrCat(HostnameOf(config), "\n")));
  CRISP_RETURN_IF_ERROR(files.Write("resolv.conf", *resolv_conf));
  if (!node_.UsesSystemd()) return files;
  CRISP_ASSIGN_OR_RETURN(const std::string slice, runtime::PodSlice(parent));
  CRISP_RETURN_IF_ERROR(runtime::PlaceShim(node_.CgroupAt(own), slice, pod->id, pid,
                                           Operation(absl::Now() + kScopeTime)));
  return files;
}

absl::Status PodRunner::MakeNetwork(const PodPtr& pod,
                                    const v1::PodSandboxConfig& config,
                                    network::Sysctls sysctls) {
  const std::shared_ptr<runtime::PodHandle> handle = pod->Handle();
  if (!IsAttached(*pod->Snapshot()))
    return node_.network->Isolate(handle->netns_fd(), handle->rtnl_fd(), sysctls);
  CRISP_ASSIGN_OR_RETURN(network::AttachRequest request, MakeAttachRequest(pod->id, config));
  request.netns_fd = handle->netns_fd();
  request.rtnl_fd = handle->rtnl_fd();
  request.netns_path = absl::StrCat("/proc/", handle->pid(), "/ns/net");
  request.sysctls = std::move(sysctls);
  request.prepared = handle->prepared_network();
  CRISP_ASSIGN_OR_RETURN(const network::Attachment attachment,
                         node_.network->Attach(request, Operation(absl::Now() + kStepTime)));
  if (!request.ports.empty()) CRISP_RETURN_IF_ERROR(KeepPorts(*pod, *handle));
  table_.Note(*pod, [&attachment](state::PodRecord& edited) {
    edited.mutable_addresses()->Assign(attachment.addresses.begin(), attachment.addresses.end());
  });
  return absl::OkStatus();
}

// The daemon may end at any moment; whose ports they are is there as long as the pod.
absl::Status PodRunner::KeepPorts(const Pod& pod, runtime::PodHandle& handle) {
  const std::vector<UniqueFd> holds = node_.network->TakePortHolds(pod.id);
  std::vector<int> borrowed;
  for (const UniqueFd& hold : holds) borrowed.push_back(hold.get());
  return Annotate(handle.Keep(borrowed, Operation(absl::Now() + kStepTime)),
                  "keep the pod's host ports");
}

}  // namespace crisp::cri
