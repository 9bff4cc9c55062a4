#include "cri/containers/container_maker.h"

#include <unistd.h>

#include <climits>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/safe_path.h"
#include "base/status.h"
#include "cri/node/host_facts.h"
#include "cri/spec/check_message.h"
#include "cri/spec/spec_row.h"
#include "cri/state/life_log.h"
#include "cri/state/step_timer.h"
#include "google/protobuf/util/message_differencer.h"
#include "runtime/lsm/apparmor.h"
#include "runtime/oci/capabilities.h"

namespace crisp::cri {
namespace {

constexpr absl::Duration kCreateTime = absl::Minutes(4);

absl::Status CheckRequest(const v1::CreateContainerRequest& request) {
  const v1::ContainerConfig& config = request.config();
  if (!config.has_metadata() || config.metadata().name().empty()) {
    return absl::InvalidArgumentError("config.metadata: a container needs a name");
  }
  if (config.image().image().empty()) {
    return absl::InvalidArgumentError("config.image: a container needs an image");
  }
  CRISP_RETURN_IF_ERROR(CheckMessage(config, "config"));
  for (const v1::Mount& mount : config.mounts()) CRISP_RETURN_IF_ERROR(CheckMount(mount));
  // The log must stay below the pod's log directory (CVE-2025-0750's kind of escape).
  for (absl::string_view part : absl::StrSplit(config.log_path(), '/')) {
    if (part == "..") {
      return absl::InvalidArgumentError(absl::StrCat("config.log_path: \"", config.log_path(),
                                                     "\" leads out of the log directory"));
    }
  }
  return absl::OkStatus();
}

std::string LogPath(const v1::PodSandboxConfig& pod, const v1::ContainerConfig& container) {
  if (pod.log_directory().empty() || container.log_path().empty()) return "";
  return absl::StrCat(pod.log_directory(), "/", container.log_path());
}

// With a "/./" behind what is the kubelet's: below it pods may have written.
std::string TrustedLogPath(const v1::PodSandboxConfig& pod, const state::ContainerRecord& record) {
  if (record.log_path().empty()) return "";
  const std::string trusted = CleanAbsolutePath(pod.log_directory());
  const std::string path = CleanAbsolutePath(record.log_path());
  return absl::StrCat(trusted, "/./", absl::StripPrefix(absl::StripPrefix(path, trusted), "/"));
}

absl::StatusOr<std::optional<std::string>> ReadSeccomp(
    runtime::HostPaths& paths, const v1::LinuxContainerSecurityContext& context) {
  CRISP_ASSIGN_OR_RETURN(const SeccompSelection selection, SelectSeccomp(context));
  if (selection.choice != SeccompChoice::kLocalhost) return std::optional<std::string>();
  auto text = paths.Read(selection.path, 1u << 20);
  if (absl::IsDeadlineExceeded(text.status()) || absl::IsUnavailable(text.status())) {
    return Annotate(text.status(), "seccomp");
  }
  // NotFound would say that the pod or the image is.
  if (!text.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("seccomp: ", std::string(text.status().message())));
  }
  return std::optional<std::string>(*std::move(text));
}

// FailedPrecondition for a mount that the pod's runtime does not make.
absl::Status CheckFeatures(const v1::ContainerConfig& config, const runtime::Features& features) {
  if (features.recursive_read_only_mounts) return absl::OkStatus();
  for (const v1::Mount& mount : config.mounts()) {
    if (!mount.recursive_read_only()) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("mounts: ", mount.container_path(),
                     ": the pod's runtime makes no mounts read-only with all below them"));
  }
  return absl::OkStatus();
}

absl::Status CheckAppArmor(const v1::LinuxContainerSecurityContext& context,
                           const HostFacts& host) {
  CRISP_ASSIGN_OR_RETURN(const std::string profile, SelectAppArmor(context, host));
  if (profile.empty()) return absl::OkStatus();
  const absl::Status loaded = runtime::CheckAppArmorProfile(profile);
  // NotFound would say that the pod or the image is.
  return absl::IsNotFound(loaded) ? absl::InvalidArgumentError(loaded.message()) : loaded;
}

}  // namespace

absl::StatusOr<std::string> ContainerMaker::Create(const v1::CreateContainerRequest& request,
                                                   const Operation& operation) {
  CRISP_RETURN_IF_ERROR(CheckRequest(request));
  CRISP_ASSIGN_OR_RETURN(const PodPtr pod, table_.FindPod(request.pod_sandbox_id()));
  const std::string key = ContainerNameKey(pod->id, request.config().metadata());
  return creations_.Run(key, operation, [&]() -> absl::StatusOr<std::string> {
    absl::StatusOr<std::string> existing = Existing(key, request);
    if (!existing.ok() || !existing->empty()) return existing;
    return Make(request, pod, key);
  });
}

absl::StatusOr<std::string> ContainerMaker::Existing(const std::string& key,
                                                     const v1::CreateContainerRequest& request) {
  const std::string id = table_.IdOf(key);
  if (id.empty()) return std::string();
  absl::StatusOr<ContainerPtr> container = table_.FindContainer(id);
  if (!container.ok()) return std::string();
  const auto held = (*container)->Snapshot();
  const state::ContainerRecord& record = *held;
  const bool alive = record.stage() == state::ContainerRecord::RUNNING;
  // One that has ended gives its name up.
  if (!alive && record.stage() != state::ContainerRecord::CREATED) return std::string();
  if (google::protobuf::util::MessageDifferencer::Equals(record.config(), request.config()))
    return id;
  if (alive) {
    return absl::AlreadyExistsError(absl::StrCat(
        "container ", id, " is running under this name and attempt with another configuration"));
  }
  // A client that changed its mind before it heard of the first one's id.
  CRISP_RETURN_IF_ERROR(remover_.Remove(*container, Operation(absl::Now() + kCreateTime)));
  return std::string();
}

absl::StatusOr<state::ContainerRecord> ContainerMaker::InitialRecord(const ContainerJob& job) {
  state::ContainerRecord record;
  record.set_id(GenerateId());
  record.set_pod_id(job.pod->id);
  *record.mutable_config() = job.config;
  record.set_created_at(absl::ToUnixNanos(absl::Now()));
  record.set_image_id(job.image.id);
  record.set_image_ref(job.image.repo_digests.empty() ? job.image.id : job.image.repo_digests[0]);
  record.set_log_path(LogPath(job.pod_config, job.config));
  *record.mutable_resources() = job.config.linux().resources();
  CRISP_ASSIGN_OR_RETURN(const int signal, StopSignalOf(job.config, job.image));
  record.set_stop_signal(signal);
  // As the pod's group was made: the daemon's driver may be another by now.
  const std::string& parent = job.pod_config.linux().cgroup_parent();
  const runtime::CgroupDriver driver =
      runtime::DriverOfPod(parent, job.pod->Snapshot()->cgroup_path());
  CRISP_ASSIGN_OR_RETURN(std::string cgroup,
                         runtime::ContainerCgroupPath(driver, parent, job.pod->id, record.id()));
  record.set_cgroup_path(std::move(cgroup));
  for (int i = 0; i < job.config.mounts_size(); ++i) {
    if (job.config.mounts(i).has_image())
      record.add_view_keys(absl::StrCat(record.id(), "-image-", i));
  }
  return record;
}

absl::StatusOr<std::string> ContainerMaker::Make(const v1::CreateContainerRequest& request,
                                                 const PodPtr& pod,
                                                 const std::string& key) {
  CRISP_ASSIGN_OR_RETURN(const std::shared_ptr<runtime::PodHandle> handle,
                         table_.FindReadyPod(pod->id));
  CRISP_RETURN_IF_ERROR(CheckFeatures(request.config(), pod->runtime->features()));
  CRISP_RETURN_IF_ERROR(PodTable::BeginCreation(*pod));
  const auto creation = absl::MakeCleanup([&pod] { PodTable::EndCreation(*pod); });
  ContainerJob job{.config = request.config(), .pod = pod, .pod_config = pod->Snapshot()->config()};
  CRISP_ASSIGN_OR_RETURN(job.image, node_.images->Find(request.config().image().image()));
  CRISP_ASSIGN_OR_RETURN(state::ContainerRecord record, InitialRecord(job));
  LevelLease level = labels_.ReserveFor(job.config, *pod->Snapshot());
  record.set_selinux_level(level.level());
  job.container = std::make_shared<Container>(std::move(record), key, pod);
  const ContainerPtr& container = job.container;
  {
    absl::MutexLock lock(&container->mutex);
    container->level = std::move(level);
  }
  StepTimer timer("CreateContainer", container->steps, node_.metrics);
  job.timer = &timer;
  CRISP_RETURN_IF_ERROR(table_.Add(*container));
  timer.Done("record");

  absl::Status made = Prepare(job);
  if (made.ok()) made = MakeIn(*handle, job);
  if (made.ok()) {
    timer.Done("shim");
    made = RecordMade(job);
  }
  if (made.ok()) made = table_.ShowMade(container);
  if (!made.ok()) {
    LogContainer(LogLevel::kWarning, "container.create.failed", *container,
                 {{"error", made.ToString()}});
    // So that a restart goes on with the undoing.
    (void)table_.Advance(*container, Mover::kMaker, state::ContainerRecord::REMOVING);
    remover_.Undo(container);
    return made;
  }
  events_.Tell(LifePoint::kContainerCreated, *container);
  timer.Done("publish");
  LogContainer(LogLevel::kInfo, "container.created", *container,
               {{"image", request.config().image().image()}});
  return container->id;
}

// A spare's overlay has no label and the host's ids.
absl::Status ContainerMaker::PrepareRoot(ContainerJob& job) {
  const std::string& id = job.container->id;
  const bool labelled = node_.host.selinux.enabled && !node_.host.selinux.off;
  const v1::NamespaceOption& pod = job.pod_config.linux().security_context().namespace_options();
  if (!labelled && pod.userns_options().uids().empty()) {
    std::optional<SpareRoots::Root> spare = roots_.Take(job.image.id);
    if (spare.has_value() && node_.images->Rekey(spare->key, id).ok()) {
      job.root = std::move(spare->root);
      job.root_mount = std::move(spare->mount);
      return absl::OkStatus();
    }
    if (spare.has_value()) roots_.Release(*std::move(spare));
  }
  CRISP_ASSIGN_OR_RETURN(job.root, node_.images->PrepareContainer(id, job.image.id));
  return absl::OkStatus();
}

absl::Status ContainerMaker::Prepare(ContainerJob& job) {
  const v1::LinuxContainerSecurityContext& context = job.config.linux().security_context();
  CRISP_RETURN_IF_ERROR(PrepareRoot(job));
  job.timer->Done("storage");
  CRISP_ASSIGN_OR_RETURN(job.selinux, labels_.Of(job.config, *job.pod->Snapshot()));
  CRISP_RETURN_IF_ERROR(ResolveMounts(job));
  CRISP_RETURN_IF_ERROR(ResolveDevices(job));
  CRISP_RETURN_IF_ERROR(ResolveUser(job));
  CRISP_RETURN_IF_ERROR(MakeVolumes(job));
  CRISP_RETURN_IF_ERROR(CheckAppArmor(context, node_.host));
  CRISP_ASSIGN_OR_RETURN(job.seccomp_json, ReadSeccomp(*node_.paths, context));
  job.timer->Done("resolve");
  if (context.namespace_options().pid() == v1::TARGET) {
    CRISP_ASSIGN_OR_RETURN(const ContainerPtr target,
                           table_.FindContainer(context.namespace_options().target_id()));
    const auto held = target->Snapshot();
    const state::ContainerRecord& record = *held;
    if (target->pod != job.pod || record.stage() != state::ContainerRecord::RUNNING) {
      return absl::InvalidArgumentError(absl::StrCat("namespace_options.target_id: container ",
                                                     target->id,
                                                     " is not running in this pod sandbox"));
    }
    job.target_pid = record.pid();
  }
  return Build(job);
}

absl::Status ContainerMaker::RecordMade(const ContainerJob& job) {
  Container& container = *job.container;
  {
    absl::MutexLock lock(&container.mutex);
    container.exec_base = job.exec_base;
  }
  const std::string spec = SpecToRow(job.spec, job.config);
  CRISP_RETURN_IF_ERROR(table_.PutSpec(container, spec));
  const auto fill = [&job](state::ContainerRecord& r) {
    r.mutable_user()->set_uid(job.user.uid);
    r.mutable_user()->set_gid(job.user.gid);
    r.mutable_user()->mutable_supplemental_groups()->Assign(job.user.groups.begin(),
                                                            job.user.groups.end());
    r.mutable_mounts()->Assign(job.shown_mounts.begin(), job.shown_mounts.end());
  };
  CRISP_RETURN_IF_ERROR(
      table_.Advance(container, Mover::kMaker, state::ContainerRecord::CREATED, fill).status);
  return table_.KeepCopy(container, spec);
}

absl::Status ContainerMaker::Build(ContainerJob& job) {
  const auto held = job.container->Snapshot();
  const state::ContainerRecord& record = *held;
  HostFacts host = node_.host;
  if (job.config.linux().security_context().privileged()) {
    CRISP_ASSIGN_OR_RETURN(host.devices, ScanDevices(*node_.paths, "/dev", "/dev"));
  }
  char hostname[HOST_NAME_MAX + 1] = {};
  (void)::gethostname(hostname, HOST_NAME_MAX);
  job.namespaces = NamespacesOf(*job.pod);
  const SpecInputs inputs{.pod = job.pod_config,
                          .container = job.config,
                          .image = job.image,
                          .pod_id = job.pod->id,
                          .container_id = record.id(),
                          .host = std::move(host),
                          .namespaces = job.namespaces,
                          .target_pid = job.target_pid,
                          .user = job.user,
                          .cgroups_path = record.cgroup_path(),
                          .cgroup_writable = node_.CgroupWritable(*job.pod),
                          .root_path = job.root.upper_dir,
                          .files_dir = node_.ExistingFilesDir(job.pod->id),
                          .host_hostname = hostname,
                          .mounts = job.mounts,
                          .devices = job.devices,
                          .own_devices = node_.options.own_devices,
                          .volumes = job.volumes,
                          .seccomp_json = job.seccomp_json,
                          .selinux = job.selinux};
  CRISP_ASSIGN_OR_RETURN(job.spec, BuildSpec(inputs));
  EditedSpec edited{.pod = job.pod_config,
                    .container = job.config,
                    .of_operator = job.pod->of_operator,
                    .spec = job.spec,
                    .device_sources = job.device_sources};
  for (const std::unique_ptr<SpecEdit>& edit : edits_) CRISP_RETURN_IF_ERROR(edit->Apply(edited));
  job.user.groups = job.spec.process.user.additional_gids;
  job.timer->Done("spec");
  return absl::OkStatus();
}

absl::Status ContainerMaker::MakeIn(runtime::PodHandle& pod, ContainerJob& job) {
  const auto held = job.container->Snapshot();
  const state::ContainerRecord& record = *held;
  if (!node_.layers.mount_points.empty()) job.root.lower_dirs.push_back(node_.layers.mount_points);
  const runtime::NewContainer container{
      .id = record.id(),
      .spec = job.spec,
      .namespaces = job.namespaces,
      .lower_dirs = job.root.lower_dirs,
      .upper_dir = job.root.upper_dir,
      .work_dir = job.root.work_dir,
      .root_mount = job.root_mount.get(),
      .image_volumes = job.image_volumes,
      .device_sources = job.device_sources,
      .log_path = TrustedLogPath(job.pod_config, record),
      .stdin_open = job.config.stdin(),
      .stdin_once = job.config.stdin_once(),
      .exit_record = node_.ExitRecordPath(job.pod->id, record.id()),
      .owns_cgroup = node_.CgroupWritable(*job.pod),
      .done = [timer = job.timer](const char* step) { timer->Done(step); }};
  CRISP_ASSIGN_OR_RETURN(job.exec_base,
                         pod.Create(container, Operation(absl::Now() + kCreateTime)));
  return absl::OkStatus();
}

}  // namespace crisp::cri
